package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidegate/gateway/console"
)

func get(t *testing.T, method, path string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for name, values := range header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler_ServesItsFilesByType(t *testing.T) {
	for path, contentType := range map[string]string{
		"/":                    "text/html; charset=utf-8",
		"/tidegate.js":         "text/javascript; charset=utf-8",
		"/tidegate-session.js": "text/javascript; charset=utf-8",
		"/tidegate-http.js":    "text/javascript; charset=utf-8",
		"/tidegate-link.js":    "text/javascript; charset=utf-8",
		"/console.js":          "text/javascript; charset=utf-8",
		"/console.css":         "text/css; charset=utf-8",
		"/favicon.svg":         "image/svg+xml",
	} {
		answer := get(t, http.MethodGet, path, nil)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != contentType {
			t.Errorf("GET %s: %s, %q, want 200 and %q", path, answer.Status, answer.Header.Get("Content-Type"), contentType)
		}
		if got := answer.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("GET %s: X-Content-Type-Options is %q", path, got)
		}
	}
}

func TestHandler_PolicyAllowsOwnScriptsOnly(t *testing.T) {
	policy := get(t, http.MethodGet, "/", nil).Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %q: %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy lets unsafe things through: %s", policy)
	}
}

func TestHandler_IsAskedAgainAndAnswersNotModified(t *testing.T) {
	first := get(t, http.MethodGet, "/tidegate.js", nil)
	if got := first.Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("Cache-Control is %q", got)
	}
	again := get(t, http.MethodGet, "/tidegate.js", http.Header{"If-None-Match": {first.Header.Get("ETag")}})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("with its ETag: %s", again.Status)
	}
	other := get(t, http.MethodGet, "/console.js", http.Header{"If-None-Match": {first.Header.Get("ETag")}})
	if other.StatusCode != http.StatusOK {
		t.Errorf("with another file's ETag: %s", other.Status)
	}
}

func TestHandler_RefusesWhatItDoesNotHave(t *testing.T) {
	for _, path := range []string{"/nothing", "/web/", "/index.html", "/console.go", "/../console.go", "/tidegate.js/"} {
		if answer := get(t, http.MethodGet, path, nil); answer.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, answer.Status)
		}
	}
	answer := get(t, http.MethodPost, "/", nil)
	if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /: %s, Allow %q", answer.Status, answer.Header.Get("Allow"))
	}
}

func TestHandler_LetsOtherOriginsImportTheClientOnly(t *testing.T) {
	for path, want := range map[string]string{"/tidegate.js": "*", "/tidegate-http.js": "*", "/": "", "/console.js": ""} {
		if got := get(t, http.MethodGet, path, nil).Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("GET %s: Access-Control-Allow-Origin is %q, want %q", path, got, want)
		}
	}
}

func TestPage_NeedsNothingFromElsewhere(t *testing.T) {
	body, err := io.ReadAll(get(t, http.MethodGet, "/", nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", " onclick=", " onload=", " style=", "<style"} {
		if strings.Contains(string(body), bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
}
