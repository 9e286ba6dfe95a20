package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidegate/gateway"
)

func TestOrigins(t *testing.T) {
	some := Origins{"https://app.example.com", "https://*.example.org", "http://localhost:*"}
	for _, c := range []struct {
		origins Origins
		origin  string
		allowed bool
	}{
		{nil, "", true},
		{nil, "https://gate.example.com", true},
		{nil, "http://GATE.example.com", true},
		{nil, "https://gate.example.com:8443", false},
		{nil, "https://app.example.com", false},
		{nil, "null", false},
		{some, "https://app.example.com", true},
		{some, "https://APP.example.com", true},
		{some, "http://app.example.com", false},
		{some, "https://app.example.com:8443", false},
		{some, "https://app.example.com.evil.example", false},
		{some, "https://a.b.example.org", true},
		{some, "https://example.org", false},
		{some, "https://evil.example/.example.org", false},
		{some, "http://localhost:3000", true},
		{some, "null", false},
		{some, "%", false},
		{Origins{"*"}, "https://anything.example", true},
		{Origins{"*"}, "null", true},
	} {
		r := httptest.NewRequest("GET", "https://gate.example.com/ws", nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		err := c.origins.Check(r)
		if (err == nil) != c.allowed {
			t.Errorf("%q of %q: %v, want allowed=%v", c.origin, c.origins, err, c.allowed)
		}
		if err != nil && (gateway.StatusOf(err) != http.StatusForbidden || !strings.Contains(err.Error(), "origins")) {
			t.Errorf("%q: %v does not name the setting", c.origin, err)
		}
	}
}

func TestCORS(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler := Origins{"https://app.example.com"}.CORS(next)
	ask := func(method, origin, preflight string) *http.Response {
		r := httptest.NewRequest(method, "https://gate.example.com/poll", nil)
		for name, value := range map[string]string{"Origin": origin, "Access-Control-Request-Method": preflight} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		return recorder.Result()
	}
	for _, c := range []struct {
		method, origin, preflight string
		status                    int
		allowed                   string
	}{
		{"GET", "", "", http.StatusTeapot, ""},
		{"GET", "https://app.example.com", "", http.StatusTeapot, "https://app.example.com"},
		{"GET", "https://evil.example", "", http.StatusForbidden, ""},
		{"OPTIONS", "https://app.example.com", "POST", http.StatusNoContent, "https://app.example.com"},
		{"OPTIONS", "https://evil.example", "POST", http.StatusForbidden, ""},
		{"OPTIONS", "https://app.example.com", "", http.StatusTeapot, "https://app.example.com"},
	} {
		got := ask(c.method, c.origin, c.preflight)
		if got.StatusCode != c.status || got.Header.Get("Access-Control-Allow-Origin") != c.allowed || got.Header.Get("Vary") != "Origin" {
			t.Errorf("%s from %q: %d %v; want %d for %q", c.method, c.origin, got.StatusCode, got.Header, c.status, c.allowed)
		}
		if c.status != http.StatusNoContent {
			continue
		}
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"} {
			if !strings.Contains(got.Header.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("a preflight does not allow the header %s", name)
			}
		}
		if !strings.Contains(got.Header.Get("Access-Control-Allow-Methods"), "DELETE") {
			t.Error("a preflight does not allow DELETE")
		}
	}
}
