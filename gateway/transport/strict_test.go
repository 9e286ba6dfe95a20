package transport

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"tidegate/gateway"
)

// A load balancer sends requests of many clients over one connection. That must not end for
// all of them because one is refused.
func TestLeaveUnread_KeepsAConnectionOfHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		LeaveUnread(w, r)
		Refuse(w, fail(gateway.Forbidden, "no"))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for i := range 5 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(strings.Repeat("x", 100_000)))
		must(t, err)
		response, err := server.Client().Do(request)
		must(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		must(t, err)
		response.Body.Close()
		if response.ProtoMajor != 2 || i > 0 && !reused {
			t.Errorf("request %d: %s, over the connection of the one before: %v", i, response.Proto, reused)
		}
	}
}
