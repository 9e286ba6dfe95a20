package transport

import (
	"net/http"

	"tidegate/gateway"
)

// Refuse answers a request with the status and the body that say what err says.
func Refuse(w http.ResponseWriter, err error) {
	refuseAs(w, gateway.StatusOf(err), err)
}

func refuseAs(w http.ResponseWriter, status int, err error) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	w.Write(append(gateway.ErrorBody(err), '\n'))
}

func badRequest(message string) error {
	return &gateway.Error{Code: gateway.BadRequest, Message: message}
}
