package gatewaytest

import (
	"net"
	"net/http"
	"sync"
)

// Serve serves connections until stop is called. stop closes all connections and waits until
// they have ended. http.Server.Close does not wait, and a connection with an unread request
// body takes half a second to end.
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
		server.Close() // closes connections accepted in the meantime
		connections.Wait()
	}
}
