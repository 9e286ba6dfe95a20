package transport

import (
	"net/http"
	"strings"

	"tidegate/gateway"
)

// TokenOf returns a request's API key or token: from the header Authorization (RFC
// 6750, section 2.1), or, since a browser cannot set that on a WebSocket or an
// EventSource, from the query's access_token (section 2.3). Empty means none. An
// Authorization of another scheme is not for the gateway: a proxy before it may ask for
// Basic. One that cannot be understood is refused: its client must not pass for an
// anonymous one.
func TokenOf(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", unauthenticated("there is more than one header Authorization: send one, as Bearer KEY")
	}
	if len(header) == 1 {
		scheme, token, _ := strings.Cut(header[0], " ")
		token = strings.TrimSpace(token)
		switch {
		case token == "":
			return "", unauthenticated("the header Authorization is not understood: send it as Bearer KEY")
		case strings.EqualFold(scheme, "Bearer"):
			return token, nil
		}
	}
	return r.URL.Query().Get("access_token"), nil
}

func unauthenticated(message string) error {
	return &gateway.Error{Code: gateway.Unauthenticated, Message: message}
}

// Authenticate returns who has sent a request: nobody if it has no token.
func Authenticate(g *gateway.Gateway, r *http.Request) (gateway.Principal, error) {
	token, err := TokenOf(r)
	if err != nil {
		g.NoteNoToken()
		return gateway.Principal{}, err
	}
	return g.Authenticate(r.Context(), token)
}
