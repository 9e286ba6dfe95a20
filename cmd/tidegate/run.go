package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway"
)

// run serves until ctx ends and then drains. It returns nil once all sessions have left, or
// the error that ended it earlier.
func (n *node) run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts, working := errgroup.WithContext(life)
	public, internal := n.newServer(n.publicRoutes(), n.publicConnections()), n.newServer(n.internalRoutes(), n.internalConnections())
	front := n.front(public) // before the end, which waits for it
	parts.Go(func() error { return serveHTTP(public, front) })
	parts.Go(func() error { return serveHTTP(internal, n.internal) })
	parts.Go(func() error { return n.gateway.Run(working) })
	parts.Go(func() error { return n.auth.Run(working) })
	parts.Go(func() error { n.tellReady(working); return nil })
	if n.tracer != nil {
		defer n.endTraces()
	}
	if n.webhook != nil {
		defer n.webhook.Close()
	}
	defer n.webhooks.Close()
	if n.clock != nil {
		parts.Go(func() error { return n.clock.run(working, n.gateway) })
	}
	var drained error
	select {
	case <-ctx.Done():
		drained = n.drain(working, public)
	case <-working.Done():
	}
	end()
	closeServers(public, internal)
	n.webSocket.Wait() // the other parts are still running
	n.xhr.Wait()
	err := parts.Wait()
	return errors.Join(err, drained)
}

// drain sends the sessions to other nodes. Both listeners keep answering, so that a load
// balancer sees that this node is not ready.
func (n *node) drain(ctx context.Context, public *http.Server) error {
	n.tellSupervisor("STOPPING=1\nSTATUS=sends its clients away")
	public.SetKeepAlivesEnabled(false)
	var leaving sync.WaitGroup
	defer leaving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leaving.Go(func() { n.xhr.Drain(ctx, n.config.DrainWindow) })
	if err := n.gateway.Shutdown(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// newServer returns a server whose requests have deadlines, except those handled by
// transport.Stream.
func (n *node) newServer(h http.Handler, bounds *connections) *http.Server {
	return &http.Server{
		Handler:           bounds.boundStreams(n.contain(h)),
		HTTP2:             http2Bounds(),
		ConnState:         bounds.note,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          newServerLog(n.log),
	}
}

// front returns the public listener, which serves handshakes by itself, unless a backend is asked
// about each: net/http notices a client that leaves meanwhile.
func (n *node) front(public *http.Server) net.Listener {
	if n.config.Webhooks.Wants(gateway.OnConnect) {
		return n.public
	}
	return n.webSocket.Front(n.public.Listener, public, n.routes)
}

// http2Bounds limits one HTTP/2 connection, whose data is buffered until it is read.
func http2Bounds() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          100, // the minimum recommended by RFC 9113, section 6.5.2
		MaxReceiveBufferPerConnection: config.HTTP2Bytes,
		MaxReceiveBufferPerStream:     config.HTTP2Bytes,
	}
}

func (n *node) publicConnections() *connections {
	return &connections{
		inAll:   n.connectionLimit("limits.connections", n.config.Connections.Most, "add nodes, or raise the limit"),
		perIP:   n.connectionLimit("limits.connections_per_ip", n.config.Connections.PerIP, "if many clients have this address: name it in trusted_proxies if it is a proxy's, else raise the limit"),
		proxies: n.config.TrustedProxies, log: n.log,
	}
}

// internalConnections allows half of the file descriptors that are not for clients. The
// other half is for Redis.
func (n *node) internalConnections() *connections {
	return &connections{
		inAll: n.connectionLimit("internal_listen", config.Reserve()/2, "find out who keeps connections to internal_listen open, or raise the open-file limit"),
		log:   n.log,
	}
}

func (n *node) connectionLimit(limit string, most int, advice string) connectionLimit {
	return connectionLimit{limit, most, n.metrics.Sessions.ConnectionsRefused(limit), advice}
}

func serveHTTP(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func closeServers(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
}

// tellReady tells the supervisor once the node takes traffic, unless ctx ends first.
func (n *node) tellReady(ctx context.Context) {
	if supervisor() == "" {
		return
	}
	tick := time.NewTicker(readyCheck)
	defer tick.Stop()
	for n.gateway.Ready() != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	n.tellSupervisor("READY=1\nSTATUS=takes traffic")
}

func (n *node) tellSupervisor(state string) {
	if err := notifySupervisor(state); err != nil {
		n.log.Warn("the supervisor is not told", "state", state, "error", err)
	}
}

const (
	requestPatience = 300 * time.Millisecond // for requests in progress at shutdown

	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second // to read a request's body
	answerTimeout  = 40 * time.Second // to write a response, including one that reports a body that did not arrive
	idleTimeout    = 90 * time.Second // longer than load balancers keep idle connections
	headerBytes    = 32 << 10
)
