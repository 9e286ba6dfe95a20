package transport

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidegate/gateway"
)

// Strict refuses requests that next would interpret differently from what the client meant:
//
//	400  a malformed pair in the query, which Go silently drops
//	400  a body with a method that has none, which nobody would read
//	404  a path with an empty segment, . or .., which ServeMux would redirect
//	415  a compressed body, which nobody decodes
func Strict(next http.Handler) http.Handler {
	return guard(next, func(r *http.Request) error {
		if err := checkForm(r); err != nil {
			return err
		}
		return checkCoding(r)
	})
}

func checkForm(r *http.Request) error {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return fail(gateway.BadRequest, "a pair of the query cannot be parsed: percent-encode what is neither a letter nor a digit")
	}
	if r.ContentLength != 0 && slices.Contains(bodiless, r.Method) {
		return fail(gateway.BadRequest, "a %s has no body", r.Method)
	}
	segments := strings.Split(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		if segment == "" && i > 0 || segment == "." || segment == ".." {
			return fail(gateway.NotFound, "there is no such path: it has an empty segment, or one of dots")
		}
	}
	return nil
}

// checkCoding returns an error if the body is compressed.
func checkCoding(r *http.Request) error {
	for _, coding := range r.Header.Values("Content-Encoding") {
		if r.ContentLength != 0 && coding != "" && !strings.EqualFold(coding, "identity") {
			return WithStatus(http.StatusUnsupportedMediaType, fail(gateway.BadRequest, "the body is encoded as %.40q: send it as it is", coding))
		}
	}
	return nil
}

var bodiless = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete}

// LeaveUnread lets the answer be sent without waiting for the request's body, which may
// never arrive. If there is a body, a connection of HTTP/1 is closed after the answer. Over
// HTTP/2, nothing waits for a body, and other requests go on.
func LeaveUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor > 1 {
		return
	}
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(farewellPatience))
}

// Stream removes the server's deadlines, so that next may answer a GET for as long as it
// likes. It refuses other methods.
func Stream(next http.Handler) http.Handler {
	return Only(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		liftDeadlines(w)
		next.ServeHTTP(w, r)
	}), http.MethodGet)
}

func liftDeadlines(w http.ResponseWriter) {
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Time{}) // cannot fail on net/http's own connections
	_ = connection.SetWriteDeadline(time.Time{})
}

// Only passes requests with one of these methods to next, and answers others with 405 and
// the header Allow.
func Only(next http.Handler, methods ...string) http.Handler {
	allowed := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", allowed)
		LeaveUnread(w, r)
		RefuseAs(w, http.StatusMethodNotAllowed, fail(gateway.BadRequest, "%.16q is not allowed here: want %s", r.Method, allowed))
	})
}
