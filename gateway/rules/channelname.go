package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxChannelName = 255

// NameError says what is wrong with a name, and what to do.
type NameError struct{ message string }

func (e *NameError) Error() string { return e.message }

func nameErrorf(format string, args ...any) error {
	return &NameError{fmt.Sprintf(format, args...)}
}

// CheckChannel returns a *NameError that says what is wrong with a channel's
// name, or nil: 1 to 255 bytes of UTF-8 without spaces, control characters or
// characters that cannot be seen. A user's name is checked as the channel that is
// personal to it.
func CheckChannel(name string) error {
	switch {
	case name == "":
		return nameErrorf("the channel is missing: give its name, 1 to %d bytes", maxChannelName)
	case len(name) > maxChannelName:
		return nameErrorf("the channel's name has %d bytes: at most %d are allowed", len(name), maxChannelName)
	case !utf8.ValidString(name):
		return nameErrorf("the channel's name is not UTF-8")
	case name == "@":
		return nameErrorf("the channel's name @ lacks a user: want @alice")
	case strings.IndexFunc(name, barred) >= 0:
		return nameErrorf("the channel's name has a space or a control character in it")
	}
	if at := strings.IndexFunc(name, unseen); at >= 0 {
		r, _ := utf8.DecodeRuneInString(name[at:])
		return nameErrorf("the channel's name has the character %U in it, which cannot be seen: two names would look the same", r)
	}
	return nil
}

func barred(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// unseen reports whether a character has no width, or turns the direction of
// others. With such characters one name passes for another to everybody who
// reads it. They are the format characters (bidirectional controls, joiners,
// tags), the fillers, and the selectors of variants. It costs the emoji that are
// made with a joiner or a selector: no name is worth a mistaken one.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// PersonalChannel returns the channel that every session of a user is on.
func PersonalChannel(user string) string { return "@" + user }

// IsPersonal reports whether the channel is that of a user alone.
func IsPersonal(channel string) bool { return strings.HasPrefix(channel, "@") }

const onlinePrefix = "#online:"

// OnlineChannel returns the channel that says whether a user is online: those of the
// user's sessions are on it which are to be seen, and those who watch the user are told
// who comes and goes there. Nobody else subscribes, and nobody publishes.
func OnlineChannel(user string) string { return onlinePrefix + user }

// CutOnline returns the user whose OnlineChannel is given.
func CutOnline(channel string) (user string, ok bool) {
	return strings.CutPrefix(channel, onlinePrefix)
}

// IsOnline reports whether the channel is one of those.
func IsOnline(channel string) bool { return strings.HasPrefix(channel, onlinePrefix) }
