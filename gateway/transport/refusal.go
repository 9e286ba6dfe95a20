package transport

import (
	"bytes"
	"encoding/json"
	"net/http"

	"tidegate/gateway"
)

// Refuse answers a request with the HTTP status and the JSON body for err.
func Refuse(w http.ResponseWriter, err error) { RefuseAs(w, StatusOf(err), err) }

// RefuseAs is like Refuse, but with the given status.
func RefuseAs(w http.ResponseWriter, status int, err error) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	Advise(w, status)
	w.WriteHeader(status)
	w.Write(append(ErrorBody(err), '\n'))
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

// StatusOf returns the HTTP status for the code of gateway.ErrorOf(err).
func StatusOf(err error) int {
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

// ErrorBody returns gateway.ErrorOf(err) as a JSON object:
// {"error":{"code":"forbidden","message":"…"}}.
func ErrorBody(err error) []byte {
	body, _ := encode(map[string]*gateway.Error{"error": gateway.ErrorOf(err)}) // cannot fail
	return body
}

// encode returns a value as JSON. It does not escape <, > and &, so that payloads stay as they are.
func encode(value any) ([]byte, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(encoded.Bytes(), []byte("\n")), err
}

func forbidden(message string) error {
	return &gateway.Error{Code: gateway.Forbidden, Message: message}
}

func badRequest(message string) error {
	return &gateway.Error{Code: gateway.BadRequest, Message: message}
}
