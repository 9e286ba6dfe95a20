package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A backend that identifies users by a cookie can name them and refuse others, and is notified
// when they leave.
func TestServe_AsksAndTellsTheWebhook(t *testing.T) {
	t.Parallel()
	left := make(chan string, 1)
	report := sync.OnceFunc(func() { left <- "alice" })
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Event   string
			Headers http.Header
			Events  []struct{ Event, User string }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Header.Get("Tidegate-Signature") == "" {
			t.Errorf("%v, signature %q", err, r.Header.Get("Tidegate-Signature"))
		}
		for _, e := range asked.Events {
			if e.Event == "disconnect" && e.User == "alice" {
				report()
			}
		}
		switch {
		case asked.Event != "connect":
		case asked.Headers.Get("Cookie") == "session=1":
			_, _ = io.WriteString(w, `{"allow":true,"user":"alice"}`)
		default:
			_, _ = io.WriteString(w, `{"allow":false,"code":"forbidden","message":"log in first"}`)
		}
	}))
	defer backend.Close()
	p := startReady(t, []string{
		"TIDEGATE_WEBHOOKS_URL=" + backend.URL, "TIDEGATE_WEBHOOKS_SECRET=0123456789abcdef",
		"TIDEGATE_WEBHOOKS_EVENTS=connect,disconnect", "TIDEGATE_WEBHOOKS_HEADERS=Cookie", "TIDEGATE_WEBHOOKS_TIMEOUT=20s",
	})
	if _, code := dialAs(t, p, visitor{"anonymous", ""}, byHeader, "/ws"); code != "forbidden" {
		t.Errorf("without a cookie: %q, want forbidden", code)
	}
	c, _, err := dialWebSocket(t, p, dialAfter(nil), http.Header{"Cookie": {"session=1"}})
	must(t, err)
	if welcome := hearType(t, c, "welcome"); !strings.Contains(welcome, `"user":"alice"`) {
		t.Errorf("welcomed as %s, want alice", welcome)
	}
	_ = c.Close(websocket.StatusNormalClosure, "") // the gateway may close it first
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("the backend was not told of the disconnect")
	}
	if _, metrics := get(t, p.internal("/metrics")); !strings.Contains(metrics, `tidegate_webhook_requests_total{event="connect",result="refused"} 1`) {
		t.Error("the metrics do not count the refusal")
	}
}

// identify is the backend of a site whose users have a cookie: it answers who a client is.
func identify(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Headers http.Header }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		if asked.Headers.Get("Cookie") == "session=1" {
			_, _ = io.WriteString(w, `{"allow":true,"user":"alice"}`)
			return
		}
		_, _ = io.WriteString(w, `{"allow":true}`)
	}
}

// If * admits a page, the page must not become whoever reads it.
func TestServe_StarAdmitsPagesWithoutTheCookiesOfTheirReaders(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(identify(t))
	defer backend.Close()
	p := startReady(t, []string{
		"TIDEGATE_WEBHOOKS_URL=" + backend.URL, "TIDEGATE_WEBHOOKS_SECRET=0123456789abcdef",
		"TIDEGATE_WEBHOOKS_EVENTS=connect", "TIDEGATE_WEBHOOKS_HEADERS=cookie", "TIDEGATE_WEBHOOKS_TIMEOUT=20s",
		"TIDEGATE_ORIGINS=https://*.example.com,*",
	})
	for origin, isAlice := range map[string]bool{
		"": true, "https://app.example.com": true, p.public(""): true, "https://evil.example": false, "null": false,
	} {
		header := http.Header{"Cookie": {"session=1"}}
		if origin != "" {
			header.Set("Origin", origin)
		}
		c, _, err := dialWebSocket(t, p, dialAfter(nil), header)
		must(t, err)
		if welcome := hearType(t, c, "welcome"); strings.Contains(welcome, `"user":"alice"`) != isAlice {
			t.Errorf("a page of %q is welcomed by %s", origin, welcome)
		}
	}
}

// Whichever way a client comes, the backend sees the headers of its request when it is first
// asked about the client.
func TestServe_ShowsTheBackendTheHeadersOfEveryWayIn(t *testing.T) {
	t.Parallel()
	guests, leave := make(map[string]guest), make(map[string]context.CancelFunc) // by user
	var mu sync.Mutex
	seen, heard := make(map[string]string), make(map[string]string) // by user
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			User    string
			Headers http.Header
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusForbidden)
		mu.Lock()
		defer mu.Unlock()
		seen[asked.User] = asked.Headers.Get("X-Forwarded-For")
		if leaves := leave[asked.User]; leaves != nil {
			leaves()
		}
	}))
	defer backend.Close()
	p := startReady(t, nil, "--config", write(t, "tidegate.yaml", pusherApp+`
channels: [{match: "*", subscribe: anyone, publish: anyone, history: {size: 10}}]
trusted_proxies: [127.0.0.1]
auth: {anonymous: false, jwt: {secret: `+tokenSecret+`}, api_keys: [{name: shop, key: `+backendKey+`}]}
webhooks: {url: "`+backend.URL+`", secret: 0123456789abcdef, events: [connect], headers: [X-Forwarded-For], timeout: 20s}
`))
	var coming sync.WaitGroup
	for way, come := range residents {
		g := newGuest("", way)
		ctx, leaves := context.WithTimeout(t.Context(), patience)
		mu.Lock()
		guests[way], leave[g.user] = g, leaves
		mu.Unlock()
		coming.Go(func() {
			told := come(ctx, p, g)
			mu.Lock()
			defer mu.Unlock()
			heard[g.user] = told
		})
	}
	coming.Wait()
	for way, g := range guests {
		if seen[g.user] != g.address {
			t.Errorf("%s: the backend saw %q, want %q; the client heard %q", way, seen[g.user], g.address, heard[g.user])
		}
	}
}
