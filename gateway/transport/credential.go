package transport

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// TokenOf returns a request's API key or token, or "" if there is none. It reads the header
// Authorization (RFC 6750, section 2.1) or, since browsers cannot set that for a WebSocket
// or an EventSource, the query parameter access_token (section 2.3). It ignores an
// Authorization of another scheme, which may be meant for a proxy that asks for Basic. If
// the header is malformed or repeated, it returns an error, so that the client is not taken
// for an anonymous one.
func TokenOf(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", fail(gateway.Unauthenticated, "there is more than one header Authorization: send one, as Bearer KEY")
	}
	if len(header) == 1 {
		scheme, token, _ := strings.Cut(header[0], " ")
		token = strings.TrimSpace(token)
		switch {
		case token == "":
			return "", fail(gateway.Unauthenticated, "the header Authorization is not understood: send it as Bearer KEY")
		case strings.EqualFold(scheme, "Bearer"):
			return token, nil
		}
	}
	return r.URL.Query().Get("access_token"), nil
}

// Authenticate returns the principal of a request: an anonymous one if there is no token.
func Authenticate(g *gateway.Gateway, r *http.Request) (gateway.Principal, error) {
	token, err := TokenOf(r)
	if err != nil {
		g.NoteNoToken()
		return gateway.Principal{}, err
	}
	return g.Authenticate(r.Context(), token)
}
