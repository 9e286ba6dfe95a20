package transport

import (
	"net/http"
	"strings"
)

// tokenOf returns a request's token: from the header Authorization (RFC 6750,
// section 2.1), or, since a browser cannot set that on a WebSocket or an
// EventSource, from the query's access_token (section 2.3). Empty means none.
func tokenOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("access_token")
}
