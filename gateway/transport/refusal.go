package transport

import (
	"errors"
	"fmt"
	"net/http"

	"tidegate/broker/jsontext"
	"tidegate/gateway"
)

// Refuse answers a request with the HTTP status for err, and with gateway.ErrorOf(err) as a
// JSON object: {"error":{"code":"forbidden","message":"…"}}.
func Refuse(w http.ResponseWriter, err error) { RefuseAs(w, StatusOf(err), err) }

// RefuseAs is like Refuse, but with the given status.
func RefuseAs(w http.ResponseWriter, status int, err error) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	Advise(w, status)
	w.WriteHeader(status)
	body, _ := jsontext.Encode(map[string]*gateway.Error{"error": gateway.ErrorOf(err)}) // cannot fail
	w.Write(append(body, '\n'))
}

// Advise sets the header that tells a client how to react to a status: WWW-Authenticate or
// Retry-After.
func Advise(w http.ResponseWriter, status int) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tidegate"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	}
}

// WithStatus returns err with an HTTP status of its own, instead of that of its code.
func WithStatus(status int, err error) error { return withStatus{err, status} }

type withStatus struct {
	error
	status int
}

func (e withStatus) Unwrap() error { return e.error }

// StatusOf returns the HTTP status for err: that of WithStatus, or else that for the code of
// gateway.ErrorOf(err).
func StatusOf(err error) int {
	if own, ok := errors.AsType[withStatus](err); ok {
		return own.status
	}
	switch gateway.ErrorOf(err).Code {
	case gateway.BadRequest:
		return http.StatusBadRequest
	case gateway.Unauthenticated:
		return http.StatusUnauthorized
	case gateway.Forbidden:
		return http.StatusForbidden
	case gateway.NotFound:
		return http.StatusNotFound
	case gateway.TooLarge:
		return http.StatusRequestEntityTooLarge
	case gateway.RateLimited, gateway.LimitExceeded:
		return http.StatusTooManyRequests
	case gateway.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func fail(code gateway.Code, format string, args ...any) error {
	return &gateway.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
