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
// name, or nil: 1 to 255 bytes of UTF-8 without control characters or spaces.
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
	return nil
}

func barred(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// PersonalChannel returns the channel that every session of a user is on.
func PersonalChannel(user string) string { return "@" + user }

// IsPersonal reports whether the channel is that of a user alone.
func IsPersonal(channel string) bool { return strings.HasPrefix(channel, "@") }
