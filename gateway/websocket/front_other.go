//go:build !linux

package websocket

import (
	"net"
	"net/http"
)

type front struct{ net.Listener }

// Front returns l.
func (s *Server) Front(l net.Listener, _ *http.Server, _ *http.ServeMux) net.Listener { return l }

func (f *front) stop() {}
