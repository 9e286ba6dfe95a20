package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidegate/gateway"
)

// connections limits the HTTP connections of a listener, in total and per client network.
// It closes an excess connection without an answer, because an EventSource reconnects after
// that but not after an error status. A WebSocket is no longer counted once it is hijacked:
// it becomes a session, which has its own limits. Each HTTP/2 request in progress counts as
// another connection. All methods are safe for concurrent use.
type connections struct {
	// Fixed at birth.
	inAll, perIP connectionLimit
	proxies      []netip.Prefix // many clients share their addresses, so perIP does not apply
	announced    bool           // the client's address arrives in a PROXY header, after StateNew
	log          *slog.Logger

	// Guarded by mu.
	mu      sync.Mutex
	open    map[net.Conn]netip.Prefix // the zero Prefix means not counted per network
	streams int                       // HTTP/2 requests in progress
	from    map[netip.Prefix]int      // number of connections and streams
	told    time.Time                 // when a refusal was last logged
}

// connectionLimit is a limit of connections.
type connectionLimit struct {
	name    string // "limits.connections"
	most    int    // 0 means no limit
	refused prometheus.Counter
	advice  string // what an operator can do
}

// note is the server's ConnState hook.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.admit(conn, !c.announced)
	case http.StateActive:
		if c.announced {
			c.admit(conn, true)
		}
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
}

// admit counts a connection, or closes it if it exceeds a limit.
func (c *connections) admit(conn net.Conn, known bool) {
	var from netip.Prefix
	if known {
		from = c.networkOf(conn.RemoteAddr().String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	counted, open := c.open[conn]
	if limit := c.exceeded(!open, from, counted != from); limit != nil {
		remote := "unknown"
		if known {
			remote = conn.RemoteAddr().String()
		}
		conn.Close()
		c.noteRefusal(limit, remote)
		return
	}
	if c.open == nil {
		c.open = make(map[net.Conn]netip.Prefix)
	}
	if counted != from {
		c.countFrom(from)
	}
	c.open[conn] = from
}

// exceeded returns the limit that one more connection would exceed, or nil. The caller must
// hold c.mu.
func (c *connections) exceeded(one bool, from netip.Prefix, another bool) *connectionLimit {
	switch {
	case one && c.inAll.most > 0 && len(c.open)+c.streams >= c.inAll.most:
		return &c.inAll
	case another && from.IsValid() && c.perIP.most > 0 && c.from[from] >= c.perIP.most:
		return &c.perIP
	}
	return nil
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countOut(c.open[conn])
	delete(c.open, conn)
}

// countFrom and countOut require that the caller holds c.mu.
func (c *connections) countFrom(from netip.Prefix) {
	if c.from == nil {
		c.from = make(map[netip.Prefix]int)
	}
	if from.IsValid() {
		c.from[from]++
	}
}

func (c *connections) countOut(from netip.Prefix) {
	if c.from[from] > 1 {
		c.from[from]--
	} else {
		delete(c.from, from)
	}
}

// boundStreams counts each HTTP/2 request while next handles it, and resets one that
// exceeds a limit.
func (c *connections) boundStreams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 {
			from := c.networkOf(r.RemoteAddr)
			if !c.beginStream(from, r.RemoteAddr) {
				panic(http.ErrAbortHandler)
			}
			defer c.endStream(from)
		}
		next.ServeHTTP(w, r)
	})
}

func (c *connections) beginStream(from netip.Prefix, remote string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit := c.exceeded(true, from, true); limit != nil {
		c.noteRefusal(limit, remote)
		return false
	}
	c.streams++
	c.countFrom(from)
	return true
}

func (c *connections) endStream(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams--
	c.countOut(from)
}

// networkOf returns the network of a connection, or the zero Prefix for a proxy.
func (c *connections) networkOf(remote string) netip.Prefix {
	from := gateway.NetworkOf(remote)
	if slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(from.Addr()) }) {
		return netip.Prefix{}
	}
	return from
}

// noteRefusal counts a refusal, and logs it, but not more often than every tellPause. The
// caller must hold c.mu.
func (c *connections) noteRefusal(limit *connectionLimit, remote string) {
	limit.refused.Inc()
	if time.Since(c.told) < tellPause {
		return
	}
	c.told = time.Now()
	c.log.Warn("an HTTP connection is refused, and others may be", "limit", limit.name, "remote", remote, "advice", limit.advice)
}

const tellPause = 10 * time.Second
