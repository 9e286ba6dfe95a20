package main

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
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

// note is the server's ConnState hook. A proxy's connection counts in total before it counts
// for its client's network, which takes until the PROXY header has arrived.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !isAnnounced(conn) {
			c.admit(conn, conn.RemoteAddr().String())
			return
		}
		c.admit(conn, "")
		go c.identify(conn) // here, because a client may take long to send a request
	case http.StateActive:
		if isAnnounced(conn) {
			c.identify(conn) // before its request is handled
		}
	case http.StateHijacked, http.StateClosed:
		c.forget(conn)
	}
}

// admit counts a connection, or closes it if it exceeds a limit. remote is empty if the
// client's address is not known yet.
func (c *connections) admit(conn net.Conn, remote string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.networkOf(remote)
	if limit := c.exceeded(true, from); limit != nil {
		conn.Close()
		c.noteRefusal(limit, cmp.Or(remote, "unknown"))
		return
	}
	if c.open == nil {
		c.open = make(map[net.Conn]netip.Prefix)
	}
	c.countFrom(from)
	c.open[conn] = from
}

// identify waits for the address of an announced client and counts its connection for its
// network, or closes it if it exceeds a limit. It does so once.
func (c *connections) identify(conn net.Conn) {
	remote := conn.RemoteAddr().String()
	from := c.networkOf(remote)
	c.mu.Lock()
	defer c.mu.Unlock()
	if counted, open := c.open[conn]; !open || counted == from {
		return
	}
	if limit := c.exceeded(false, from); limit != nil {
		delete(c.open, conn)
		conn.Close()
		c.noteRefusal(limit, remote)
		return
	}
	c.countFrom(from)
	c.open[conn] = from
}

// exceeded returns the limit that a connection would exceed, or nil. another says whether it
// is not counted in total yet. The caller must hold c.mu.
func (c *connections) exceeded(another bool, from netip.Prefix) *connectionLimit {
	switch {
	case another && c.inAll.most > 0 && len(c.open)+c.streams >= c.inAll.most:
		return &c.inAll
	case from.IsValid() && c.perIP.most > 0 && c.from[from] >= c.perIP.most:
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
	if limit := c.exceeded(true, from); limit != nil {
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
	if from, err := netip.ParseAddrPort(remote); err == nil && contains(c.proxies, from.Addr()) {
		return netip.Prefix{}
	}
	return gateway.NetworkOf(remote)
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
