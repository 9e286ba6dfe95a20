package gateway

import (
	"encoding/json"
	"net/http"
)

// StatusOf returns the HTTP status that says what ErrorOf says of err.
func StatusOf(err error) int {
	switch ErrorOf(err).Code {
	case BadRequest:
		return http.StatusBadRequest
	case Unauthenticated:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case RateLimited, LimitExceeded:
		return http.StatusTooManyRequests
	case Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// ErrorBody returns the JSON object that says what ErrorOf says of err:
// {"error":{"code":"forbidden","message":"…"}}.
func ErrorBody(err error) []byte {
	e := ErrorOf(err)
	body, _ := json.Marshal(map[string]any{"error": map[string]string{"code": string(e.Code), "message": e.Message}})
	return body
}
