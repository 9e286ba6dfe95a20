package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestDevelopment_TokensAndTheAPINeedNoConfiguration(t *testing.T) {
	token := start(t, nil, "token", "--user", "alice")
	if code := token.wait(); code != 0 {
		t.Fatalf("token ended with %d:\n%s", code, token.said())
	}
	n := startReady(t, nil)
	if status := postHello(t, n.public("/api/channels/@alice/messages?access_token="+strings.TrimSpace(token.said()))); status != http.StatusOK {
		t.Errorf("a publish with alice's token: %d", status)
	}
	if status, body := get(t, n.public("/api/nodes")); status != http.StatusOK {
		t.Errorf("GET /api/nodes: %d %s", status, body)
	}
}

func TestDevelopment_SecretOpensNothingElsewhere(t *testing.T) {
	token := start(t, nil, "token", "--user", "alice")
	token.wait()
	n := startReady(t, nil, "--channels", `[{match: "*", subscribe: anyone, publish: authenticated}]`)
	if status := postHello(t, n.public("/api/channels/a/messages?access_token="+strings.TrimSpace(token.said()))); status != http.StatusUnauthorized {
		t.Errorf("a publish with a token of development, where there are rules: %d, want 401", status)
	}
	if status, _ := get(t, n.public("/api/nodes")); status != http.StatusUnauthorized {
		t.Errorf("GET /api/nodes without a key, where there are rules: %d, want 401", status)
	}
}

func postHello(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Post(url, "text/plain", strings.NewReader("hello"))
	must(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	return response.StatusCode
}

// A page may make its own name resolve to this machine (DNS rebinding).
func TestDevelopment_AnswersToThisMachinesNamesOnly(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	for _, address := range []string{p.public(""), p.internal("")} {
		for host, want := range map[string]int{
			"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1:9": 200, "[::1]:8080": 200, "[::1]": 200,
			"evil.example": 403, "evil.example:8080": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "": 403,
		} {
			answer, body := askAt(t, strings.TrimPrefix(address, "http://"), "GET /healthz HTTP/1.1\nHost: "+host+"\n\n")
			if answer.StatusCode != want {
				t.Errorf("Host %q at %s: %s %s; want %d", host, address, answer.Status, body, want)
			}
		}
	}
}

// A configured gateway answers to any name that its operator gives it.
func TestDevelopment_EndsWithRules(t *testing.T) {
	t.Parallel()
	p := startBenchNode(t, "channels: [{match: 'chat:*', subscribe: anyone}]")
	if answer, body := p.ask("GET /healthz HTTP/1.1\nHost: gate.example.com\n\n"); answer.StatusCode != 200 {
		t.Errorf("%s %s", answer.Status, body)
	}
}

// A request that a page of another site can send without CORS must have no effect.
func TestRoutes_TheInternalListenerIsNotForPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	internal := strings.TrimPrefix(p.internal(""), "http://")
	for _, c := range []struct{ request, header string }{
		{"POST /api/channels/c/messages HTTP/1.1", "Origin: https://evil.example\nContent-Type: text/plain\nContent-Length: 1"},
		{"POST /api/channels/c/messages HTTP/1.1", "Sec-Fetch-Site: cross-site\nContent-Length: 1"},
		{"GET /debug/pprof/profile?seconds=1 HTTP/1.1", "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors"},
	} {
		answer, body := askAt(t, internal, c.request+"\nHost: localhost\n"+c.header+"\n\n1")
		if answer.StatusCode != 403 {
			t.Errorf("%s with %q: %s %.100s", c.request, c.header, answer.Status, body)
		}
	}
	if answer, body := askAt(t, internal, "POST /api/channels/c/messages HTTP/1.1\nHost: localhost\nContent-Length: 1\n\n1"); answer.StatusCode != 200 {
		t.Errorf("a backend: %s %s", answer.Status, body)
	}
}

func TestRoutes_PagesMaySendTheHeadersOfUsualClients(t *testing.T) {
	t.Parallel()
	p := startReady(t, []string{"TIDEGATE_ORIGINS=https://app.example"})
	answer, _ := p.ask("OPTIONS /events?channel=c HTTP/1.1\nHost: localhost\nOrigin: https://app.example\nAccess-Control-Request-Method: GET\n\n")
	allowed := strings.ToLower(answer.Header.Get("Access-Control-Allow-Headers"))
	for _, name := range []string{"authorization", "last-event-id", "cache-control", "x-requested-with", "traceparent"} {
		if !strings.Contains(allowed, name) {
			t.Errorf("%s is not among %q", name, allowed)
		}
	}
	if answer.StatusCode != 204 || answer.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
}
