package gatewaytest

import (
	"net"
	"net/http"
	"sync"
)

// Serve serves connections until stop is called, which ends all of them, and returns when
// nothing is left of any: http.Server.Close does not wait, and a connection of which the
// server has not read all takes half a second to end.
func Serve(listener net.Listener, handler http.Handler) (stop func()) {
	var serving, connections sync.WaitGroup
	server := &http.Server{Handler: handler, ConnState: func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			connections.Add(1)
		case http.StateHijacked, http.StateClosed:
			connections.Done()
		}
	}}
	serving.Go(func() { _ = server.Serve(listener) })
	return func() {
		server.Close()
		serving.Wait()
		server.Close() // those that were accepted meanwhile
		connections.Wait()
	}
}
