package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

const (
	patience = 20 * time.Second
	secret   = "0123456789abcdef0123456789abcdef"
)

// request is one that a backend has received.
type request struct {
	Event   string
	Node    string
	Session string
	Remote  string
	User    string
	Info    json.RawMessage
	Channel string
	Method  string
	Data    json.RawMessage
	Text    *string
	Binary  *[]byte
	Name    string
	Key     string
	Headers http.Header
	Events  []json.RawMessage
}

// backend is an application that answers webhooks.
type backend struct {
	t      *testing.T
	server *httptest.Server

	// Guarded by mu.
	mu       sync.Mutex
	answer   http.HandlerFunc
	requests []request
	news     chan struct{} // closed and replaced at each request
}

func startBackend(t *testing.T) *backend {
	b := &backend{t: t, news: make(chan struct{})}
	b.answers(http.StatusNoContent, "")
	b.server = httptest.NewServer(b)
	t.Cleanup(b.server.Close)
	return b
}

// ServeHTTP refuses requests without a valid signature.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !signedNow(r.Header.Get("Tidegate-Signature"), body) {
		b.t.Errorf("a request whose signature %q is not good (%v)", r.Header.Get("Tidegate-Signature"), err)
	}
	var got request
	if err := json.Unmarshal(body, &got); err != nil {
		b.t.Errorf("%v in %s", err, body)
	}
	b.mu.Lock()
	b.requests = append(b.requests, got)
	close(b.news)
	b.news = make(chan struct{})
	answer := b.answer
	b.mu.Unlock()
	answer(w, r)
}

// signedNow checks a signature as a backend does.
func signedNow(header string, body []byte) bool {
	at, signature, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "." + string(body)))
	given, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(given, mac.Sum(nil))
}

// answers sets the answer to the next requests.
func (b *backend) answers(status int, body string) {
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func (b *backend) does(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// until blocks until the requests are as wanted, and returns them.
func (b *backend) until(what string, met func([]request) bool) []request {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		news, requests := b.news, b.requests[:len(b.requests):len(b.requests)]
		b.mu.Unlock()
		if met(requests) {
			return requests
		}
		select {
		case <-news:
		case <-deadline:
			b.t.Fatalf("waited in vain for %s; got %+v", what, requests)
		}
	}
}

func (b *backend) last() request {
	b.t.Helper()
	requests := b.until("a request", func(all []request) bool { return len(all) > 0 })
	return requests[len(requests)-1]
}

// log records what a Webhook logs.
type log struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func (b *backend) config(events ...gateway.HookEvent) webhook.Config {
	return webhook.Config{URL: b.server.URL, Secret: secret, Events: events, Timeout: patience}
}

// newWebhook returns a Webhook that is closed when the test ends.
func newWebhook(t *testing.T, c webhook.Config) *webhook.Webhook {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	w, err := webhook.New(c)
	must(t, err)
	t.Cleanup(w.Close)
	return w
}
