package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
		{nil, "https://GATE.example.com", true},
		{nil, "http://gate.example.com", false},
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
		{some, "file://", false},
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
		advice := "add it to the setting origins"
		if c.origin == "null" || c.origin == "file://" || c.origin == "%" { // the setting cannot name these
			advice = "serve the page over http"
		}
		if err != nil && (StatusOf(err) != http.StatusForbidden || !strings.Contains(err.Error(), advice)) {
			t.Errorf("%q: %v does not say what to change", c.origin, err)
		}
	}
}

// A browser sends no Origin with the request for an image.
func TestOrigins_APageOfAnotherSiteIsNobodyWithoutAnOrigin(t *testing.T) {
	for site, named := range map[string]bool{"": true, "none": true, "same-origin": true, "cross-site": false} {
		r := httptest.NewRequest("GET", "https://gate.example.com/events?channel=c", nil)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if err := Origins(nil).Check(r); err != nil {
			t.Errorf("Sec-Fetch-Site %q: %v", site, err)
		}
		if got := Origins(nil).Name(r); got != named {
			t.Errorf("Sec-Fetch-Site %q: cookies count: %v, want %v", site, got, named)
		}
	}
}

// A page from http is of the same origin only if the request came over http, too.
func TestOrigins_TheSchemeCounts(t *testing.T) {
	for _, c := range []struct {
		url, forwarded, origin string
		allowed                bool
	}{
		{"http://gate.example.com/ws", "", "http://gate.example.com", true},
		{"http://gate.example.com/ws", "http", "http://gate.example.com", true},
		{"http://gate.example.com/ws", "", "https://gate.example.com", true}, // a proxy that says nothing may end TLS
		{"http://gate.example.com/ws", "https", "https://gate.example.com", true},
		{"http://gate.example.com/ws", "https", "http://gate.example.com", false},
		{"http://gate.example.com/ws", "HTTPS, http", "http://gate.example.com", false},
		{"https://gate.example.com/ws", "http", "http://gate.example.com", false},
		{"http://gate.example.com/ws", "", "ftp://gate.example.com", false},
	} {
		r := httptest.NewRequest("GET", c.url, nil)
		r.Header.Set("Origin", c.origin)
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-Proto", c.forwarded)
		}
		if err := Origins(nil).Check(r); (err == nil) != c.allowed {
			t.Errorf("a page of %s at %s, forwarded as %q: %v, want allowed=%v", c.origin, c.url, c.forwarded, err, c.allowed)
		}
	}
}

func TestCORS_CookiesAreForOriginsThatAreNamed(t *testing.T) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		origins Origins
		origin  string
		want    string
	}{
		{Origins{"https://app.example.com"}, "https://app.example.com", "true"},
		{Origins{"https://*.example.com", "*"}, "https://app.example.com", "true"},
		{Origins{"*"}, "https://gate.example.com", "true"},
		{Origins{"*"}, "https://anything.example", ""},
		{Origins{"*"}, "null", ""},
		{nil, "", ""},
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := httptest.NewRequest(method, "https://gate.example.com/poll", nil)
			r.Header.Set("Access-Control-Request-Method", "GET")
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			answer := httptest.NewRecorder()
			CORS{Origins: c.origins}.Handler(next).ServeHTTP(answer, r)
			if got := answer.Header().Get("Access-Control-Allow-Credentials"); got != c.want {
				t.Errorf("%s from %q of %q: credentials %q, want %q", method, c.origin, c.origins, got, c.want)
			}
		}
	}
}

func TestSameSite(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		site, origin string
		status       int
	}{
		{"", "", http.StatusTeapot},
		{"none", "", http.StatusTeapot},
		{"same-origin", "http://node:9080", http.StatusTeapot},
		{"", "http://node:9080", http.StatusTeapot},
		{"cross-site", "", http.StatusForbidden},
		{"same-site", "", http.StatusForbidden},
		{"", "https://evil.example", http.StatusForbidden},
		{"", "null", http.StatusForbidden},
	} {
		r := httptest.NewRequest("POST", "http://node:9080/api/messages", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		answer := httptest.NewRecorder()
		SameSite(next).ServeHTTP(answer, r)
		if answer.Code != c.status {
			t.Errorf("%q from %q: %d, want %d", c.site, c.origin, answer.Code, c.status)
		}
	}
}

func TestCORS(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	handler := CORS{Origins: Origins{"https://app.example.com"}, Headers: []string{"traceparent"}}.Handler(next)
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
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "traceparent"} {
			if !strings.Contains(got.Header.Get("Access-Control-Allow-Headers"), name) {
				t.Errorf("a preflight does not allow the header %s", name)
			}
		}
		if !strings.Contains(got.Header.Get("Access-Control-Allow-Methods"), "DELETE") {
			t.Error("a preflight does not allow DELETE")
		}
	}
}
