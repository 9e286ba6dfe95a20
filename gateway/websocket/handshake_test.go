package websocket

import (
	"net/http"
	"strings"
	"testing"

	"tidegate/gateway"
)

// This is the example of RFC 6455, section 1.3.
func TestHandshake_ProvesThatItWasUnderstood(t *testing.T) {
	if got, want := string(appendAcceptance(nil, "dGhlIHNhbXBsZSBub25jZQ==")), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHandshake_RefusesWhatIsNone(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for name, refusal := range map[string]struct {
		old, new string
		status   int
	}{
		"HTTP/1.0":      {"HTTP/1.1", "HTTP/1.0", http.StatusUpgradeRequired},
		"POST":          {"GET", "POST", http.StatusMethodNotAllowed},
		"no upgrade":    {"Upgrade: websocket\r\n", "", http.StatusUpgradeRequired},
		"other upgrade": {"Upgrade: websocket", "Upgrade: h2c", http.StatusUpgradeRequired},
		"old version":   {"Version: 13", "Version: 8", http.StatusUpgradeRequired},
		"no key":        {"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "", http.StatusBadRequest},
		"short key":     {"AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", http.StatusBadRequest},
		"no base64":     {"AAAAAAAAAAAAAAAAAAAAAA==", "!!!!", http.StatusBadRequest},
		"two keys":      {"\r\n\r\n", "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", http.StatusBadRequest},
	} {
		r := n.dialRaw()
		r.send(strings.Replace(handshake, refusal.old, refusal.new, 1))
		if got := r.expectStatus(); got != refusal.status {
			t.Errorf("%s: status %d, want %d", name, got, refusal.status)
		}
	}
	n.awaitSessions(0)
}

func TestHandshake_AgreesOnTheServersFirstSubprotocol(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.mux.Handle("/choose", n.webSocket.Handler(greetNative, "first", "second"))
	for asked, want := range map[string]string{
		"second, first":  "first",
		"other, second":  "second",
		"SECOND":         "SECOND", // spelled as offered, because the client compares
		"other":          "",
		"firsts,seconds": "",
	} {
		r := n.dialRaw()
		request := strings.Replace(handshake, "/ws", "/choose", 1)
		r.send(strings.Replace(request, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: "+asked+"\r\n\r\n", 1))
		response, err := http.ReadResponse(r.r, nil)
		must(t, err)
		if got := response.Header.Get("Sec-WebSocket-Protocol"); got != want {
			t.Errorf("asked for %s: agreed on %q, want %q", asked, got, want)
		}
		r.Conn.Close()
	}
	n.awaitSessions(0)
}
