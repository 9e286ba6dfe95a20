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
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	return response.StatusCode
}
