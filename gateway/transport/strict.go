package transport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidegate/gateway"
)

// Strict refuses requests that next would understand in another way than the client
// meant them:
//
//	400  a pair of the query that cannot be parsed, which Go leaves out in silence
//	400  a body with a method that has none, which nobody would read
//	404  an empty segment of the path, or one of dots, which ServeMux leads elsewhere
//	415  a body that is compressed, which nobody decodes
func Strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := checkForm(r); err != nil {
			LeaveUnread(w)
			Refuse(w, err)
			return
		}
		if err := CheckCoding(r.Header); err != nil && r.ContentLength != 0 {
			LeaveUnread(w)
			RefuseAs(w, http.StatusUnsupportedMediaType, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func checkForm(r *http.Request) error {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return badRequest("a pair of the query cannot be parsed: percent-encode what is neither a letter nor a digit")
	}
	if r.ContentLength != 0 && slices.Contains(bodiless, r.Method) {
		return badRequest("a " + r.Method + " has no body")
	}
	segments := strings.Split(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		if segment == "" && i > 0 || segment == "." || segment == ".." {
			return &gateway.Error{Code: gateway.NotFound, Message: "there is no such path: it has an empty segment, or one of dots"}
		}
	}
	return nil
}

// CheckCoding returns an error if the body is compressed, by its headers.
func CheckCoding(header http.Header) error {
	for _, coding := range header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return badRequest(fmt.Sprintf("the body is encoded as %.40q: send it as it is", coding))
		}
	}
	return nil
}

var bodiless = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete}

// LeaveUnread has the answer sent at once, instead of after a body that may never come. The
// connection ends with it.
func LeaveUnread(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(farewellPatience))
}

// Stream lets next answer GET for as long as it likes, without the deadlines of the
// server. It refuses other methods.
func Stream(next http.Handler) http.Handler {
	return Only(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		liftDeadlines(w)
		next.ServeHTTP(w, r)
	}), http.MethodGet)
}

func liftDeadlines(w http.ResponseWriter) {
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Time{}) // net/http's own connections can do it
	_ = connection.SetWriteDeadline(time.Time{})
}

// Only lets next answer these methods, and refuses others by 405 and Allow.
func Only(next http.Handler, methods ...string) http.Handler {
	allowed := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", allowed)
		LeaveUnread(w)
		RefuseAs(w, http.StatusMethodNotAllowed, badRequest(fmt.Sprintf("%.16q is not allowed here: want %s", r.Method, allowed)))
	})
}
