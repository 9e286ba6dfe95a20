package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// A node never repeats a token or a secret, valid or not: neither in its log, at the most
// verbose level, nor to operators or the sender.
func TestServe_SaysNoSecretAnywhere(t *testing.T) {
	t.Parallel()
	good, _ := makeToken(t, "--secret", tokenSecret, "--user", "alice")
	forged, _ := makeToken(t, "--secret", "another secret of thirty-two bytes and more", "--user", "alice")
	const webhookSecret, nonsense = "0123456789abcdef-webhook", "hunter2hunter2hunter2"
	file := t.TempDir() + "/tidegate.yaml"
	put(t, file, `
channels: [{match: '*', subscribe: authenticated, publish: authenticated, history: {size: 10}}]
auth: {jwt: {secret: `+tokenSecret+`}, api_keys: [{name: shop, key: `+backendKey+`}]}
webhooks: {url: "http://user:hunter3@127.0.0.1:1/?key=hunter4", secret: `+webhookSecret+`, events: [publish, disconnect, channel_occupied]}
`)
	p := startReady(t, nil, "--config", file)
	tokens := []string{good, forged, nonsense, backendKey}
	var answers strings.Builder
	for _, token := range tokens {
		for _, by := range []carrier{byHeader, byQuery} {
			v := visitor{"somebody", token}
			for _, target := range []string{"/ws", "/raw/chat"} {
				if c, _ := dialAs(t, p, v, by, target); c != nil {
					_ = c.CloseNow() // only the handshake matters
				}
			}
			for _, target := range []string{
				"/poll?wait=0s&channel=chat", "/poll?channel=a%20b", "/events?channel=a%20b", "/api/channels/chat/messages",
				"/api/nodes", "/api/nowhere", "/nowhere", "/", "/ws", "/raw/chat", "/healthz",
			} {
				target, header := v.show(by, target)
				answers.WriteString(fetch(t, p.public(target), header))
			}
		}
	}
	request(t, p, visitor{"alice", good}, byQuery, http.MethodPost, "/api/channels/chat/messages", "1")
	for _, target := range []string{"/metrics", "/debug/pprof/goroutine?debug=2", "/debug/pprof/allocs?debug=1", "/debug/pprof/cmdline"} {
		answers.WriteString(fetch(t, p.internal(target), nil))
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	p.waitFor("the webhook's backend is away")
	for _, secret := range append(tokens, tokenSecret, webhookSecret, "hunter3", "hunter4") {
		if strings.Contains(p.said(), secret) {
			t.Errorf("the log shows %s:\n%s", secret, p.said())
		}
		if strings.Contains(answers.String(), secret) {
			t.Errorf("an answer shows %s", secret)
		}
	}
}

// What a command says of the gateway's URL can be shown to others.
func TestCommands_ShowNoSecretOfTheirURL(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--config", write(t, "tidegate.yaml", operatedRules))
	for _, args := range [][]string{
		{"publish", "chat:a", "hi", "--url", strings.Replace(p.socket(), "://", "://user:hunter2@", 1) + "?access_token=hunter3"},
		{"publish", "chat:a", "hi", "--timeout", "50ms", "--url", "ws://user:hunter2@127.0.0.1:1/ws?access_token=hunter3"},
		{"doctor", "http://user:hunter2@127.0.0.1:1/?access_token=hunter3"},
		{"nodes", "--url", "http://user:hunter2@127.0.0.1:1/?access_token=hunter3"},
	} {
		out, details, code := operate(t, nil, args...)
		if code != 1 || !strings.Contains(out+details, "127.0.0.1") || strings.Contains(out+details, "hunter") {
			t.Errorf("tidegate %q: exit code %d, printed %q and %q", args, code, out, details)
		}
	}
}

// fetch returns the header and the body of an answer.
func fetch(t *testing.T, url string, header http.Header) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	if header != nil {
		r.Header = header
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	var all strings.Builder
	must(t, answer.Write(&all))
	if answer.Header.Get("Content-Type") == "text/html; charset=utf-8" && answer.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s: a page that tells others by Referer where it came from", url)
	}
	return all.String()
}

// A missing token is counted for every transport.
func TestServe_CountsWhoComesWithoutAToken(t *testing.T) {
	t.Parallel()
	p := startReady(t, []string{"TIDEGATE_AUTH_ANONYMOUS=false", "TIDEGATE_AUTH_JWT_SECRET=" + tokenSecret})
	nobody := visitor{"anonymous", ""}
	if _, code := dialAs(t, p, nobody, byHeader, "/raw/chat"); code != "unauthenticated" {
		t.Errorf("/raw: %q, want unauthenticated", code)
	}
	for _, target := range []string{"/events?channel=chat", "/poll?channel=chat", "/api/channels/chat/messages"} {
		if code := request(t, p, nobody, byHeader, http.MethodGet, target, ""); code != "unauthenticated" {
			t.Errorf("%s: %q, want unauthenticated", target, code)
		}
	}
	if code := request(t, p, visitor{"forger", "a.b.c"}, byHeader, http.MethodGet, "/poll?channel=chat", ""); code != "unauthenticated" {
		t.Errorf("a forged token: %q, want unauthenticated", code)
	}
	_, metrics := get(t, p.internal("/metrics"))
	for _, want := range []string{
		`tidegate_auth_failures_total{reason="no_token"} 4`,
		`tidegate_auth_failures_total{reason="malformed"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
