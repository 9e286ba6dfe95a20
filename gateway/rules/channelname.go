package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxChannelName = 255

// NameError says what is wrong with a name and what to do about it.
type NameError struct{ message string }

func (e *NameError) Error() string { return e.message }

func nameErrorf(format string, args ...any) error {
	return &NameError{fmt.Sprintf(format, args...)}
}

// CheckChannel returns nil if name is a valid channel name, else a *NameError. A valid name
// has 1 to 255 bytes of UTF-8 without spaces, control characters and invisible characters.
// To check a user's name, check the user's PersonalChannel.
func CheckChannel(name string) error {
	switch {
	case name == "":
		return nameErrorf("the channel is missing: give its name, 1 to %d bytes", maxChannelName)
	case len(name) > maxChannelName:
		return nameErrorf("the channel's name has %d bytes: at most %d are allowed", len(name), maxChannelName)
	case name == "@":
		return nameErrorf("the channel's name @ lacks a user: want @alice")
	case isPlain(name): // this is checked for each command
		return nil
	case !utf8.ValidString(name):
		return nameErrorf("the channel's name is not UTF-8")
	case strings.IndexFunc(name, barred) >= 0:
		return nameErrorf("the channel's name has a space or a control character in it")
	}
	if at := strings.IndexFunc(name, unseen); at >= 0 {
		r, _ := utf8.DecodeRuneInString(name[at:])
		return nameErrorf("the channel's name has the character %U in it, which cannot be seen: two names would look the same", r)
	}
	return nil
}

// isPlain reports whether name has only visible characters of ASCII.
func isPlain(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

func barred(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// unseen reports whether a character is invisible or changes the direction of text, so that
// two different names could look the same. These are the format characters (bidirectional
// controls, joiners, tags), fillers and variation selectors. Emoji that need a joiner or a
// selector are refused, too: no name is worth a mistaken identity.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// PersonalChannel returns the channel to which all sessions of a user are subscribed.
func PersonalChannel(user string) string { return "@" + user }

// IsPersonal reports whether the channel is some user's personal channel.
func IsPersonal(channel string) bool { return strings.HasPrefix(channel, "@") }

const onlinePrefix = "#online:"

// OnlineChannel returns the channel that shows whether a user is online. Its members are
// the user's visible sessions, and those who watch the user are told about its joins and
// leaves. Clients cannot subscribe or publish to it.
func OnlineChannel(user string) string { return onlinePrefix + user }

// CutOnline returns the user of an OnlineChannel, and false if channel is not one.
func CutOnline(channel string) (user string, ok bool) {
	return strings.CutPrefix(channel, onlinePrefix)
}

// IsOnline reports whether the channel is an OnlineChannel.
func IsOnline(channel string) bool { return strings.HasPrefix(channel, onlinePrefix) }
