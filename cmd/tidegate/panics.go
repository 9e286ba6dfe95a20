package main

import "net/http"

// contain counts and logs a panic of a handler, which then ends only that request's connection.
func (n *node) contain(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch value := recover(); value {
			case nil:
			case http.ErrAbortHandler:
				panic(value)
			default:
				n.gateway.Wall().Report("answer a request", value)
				n.log.Error("the request ends", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
				panic(http.ErrAbortHandler) // net/http closes the connection without logging
			}
		}()
		h.ServeHTTP(w, r)
	})
}
