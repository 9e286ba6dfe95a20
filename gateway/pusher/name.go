package pusher

import "strings"

// The prefix of a channel's name says what kind of channel it is:
//
//	private-   presence-   private-encrypted-      needs a signature
//	cache-   private-cache-   presence-cache-   private-encrypted-cache-
//	                                               the last event comes first
//	#server-to-user-ID                             of a user who has signed in
//
// All other channels are public. In the gateway, an app's channel has the app's prefix
// before its name, and the channel of a user is the user's personal channel.
const (
	privatePrefix   = "private-"
	presencePrefix  = "presence-"
	encryptedPrefix = "private-encrypted-"
	cachePrefix     = "cache-"
	userPrefix      = "#server-to-user-"
	clientPrefix    = "client-"
)

const maxName = 164 // maximum length of a channel's name

// checkName returns what is wrong with a channel's name, or "" if it is valid.
func checkName(name string) string {
	switch {
	case name == "":
		return "the channel is missing"
	case len(name) > maxName:
		return "the channel's name is too long: at most 164 characters are allowed"
	case strings.IndexFunc(name, isOdd) >= 0:
		return "the channel's name may have letters, digits and _-=@,.; only"
	case name[0] == '@':
		return "the channel's name begins with an @, as those of users do"
	}
	return ""
}

func isOdd(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-=@,.;", r)
}

func isPrivate(name string) bool  { return strings.HasPrefix(name, privatePrefix) }
func isPresence(name string) bool { return strings.HasPrefix(name, presencePrefix) }

// isSigned reports whether a subscription needs a signature.
func isSigned(name string) bool { return isPrivate(name) || isPresence(name) }

// isCache reports whether subscribers first receive the channel's last event.
func isCache(name string) bool {
	for _, kind := range []string{encryptedPrefix, privatePrefix, presencePrefix} {
		if rest, ok := strings.CutPrefix(name, kind); ok {
			return strings.HasPrefix(rest, cachePrefix)
		}
	}
	return strings.HasPrefix(name, cachePrefix)
}
