package websocket

import (
	"strconv"
	"strings"
)

// The extension permessage-deflate (RFC 7692, section 7.1), as a client offers it
// and as it is answered:
//
//	parameter                    offered               answered
//	server_no_context_takeover   or not                always: a message is compressed once for all
//	client_no_context_takeover   or not                always: no window is kept for a connection
//	server_max_window_bits=N     15, else declined     the same
//	client_max_window_bits[=N]   8 to 15, or without   not: any window is good
//	another, or one twice        declined
const (
	deflateExtension = "permessage-deflate"
	deflateAnswer    = deflateExtension + "; server_no_context_takeover; client_no_context_takeover"
)

// answerTo returns the answer to the values of a Sec-WebSocket-Extensions header: to the
// first acceptable offer of permessage-deflate, or "" if there is none.
func answerTo(offers []string) string {
	for _, list := range offers {
		for more := true; more; {
			var offer string
			offer, list, more = cutUnquoted(list, ',')
			if answer := answerToOffer(offer); answer != "" {
				return answer
			}
		}
	}
	return ""
}

func answerToOffer(offer string) string {
	name, parameters, more := cutUnquoted(offer, ';')
	if strings.TrimSpace(name) != deflateExtension {
		return ""
	}
	answer := deflateAnswer
	for seen := make(map[string]bool); more; {
		var parameter string
		parameter, parameters, more = cutUnquoted(parameters, ';')
		name, value, given := strings.Cut(parameter, "=")
		name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
		if seen[name] || !acceptable(name, value, given) {
			return ""
		}
		seen[name] = true
		if name == "server_max_window_bits" {
			answer += "; server_max_window_bits=15"
		}
	}
	return answer
}

// acceptable reports whether an offer may contain a parameter; given says whether the
// parameter has a value.
func acceptable(name, value string, given bool) bool {
	switch name {
	case "server_no_context_takeover", "client_no_context_takeover":
		return !given
	case "server_max_window_bits":
		return value == "15"
	case "client_max_window_bits":
		bits, err := strconv.Atoi(value)
		return !given || err == nil && 8 <= bits && bits <= 15 && value == strconv.Itoa(bits)
	}
	return false
}

// cutUnquoted is like strings.Cut, but ignores separators inside quotes.
func cutUnquoted(s string, separator byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		return value[1 : n-1]
	}
	return value
}
