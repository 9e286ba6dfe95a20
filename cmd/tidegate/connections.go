package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tidegate/gateway"
)

// connections bounds the HTTP connections of a listener, in all and by where they
// come from. One too many is closed without an answer: an EventSource comes back
// after that, and not after a status. WebSockets leave it when they are taken:
// they are sessions, and bounded as such. Each request that is on its way over HTTP/2
// counts as another connection. All methods may be called concurrently.
type connections struct {
	// Fixed at birth.
	most, perIP int            // 0: no limit
	proxies     []netip.Prefix // they bring many clients: perIP is not about them
	announced   bool           // the client's address comes in a PROXY header, which a new connection has not sent yet
	log         *slog.Logger

	// Guarded by mu.
	mu      sync.Mutex
	open    map[net.Conn]netip.Prefix // the zero Prefix: not counted by where it comes from
	streams int                       // requests over HTTP/2
	from    map[netip.Prefix]int      // connections and streams
	told    time.Time                 // when it was last logged that one was closed
}

// note is called by net/http with what becomes of a connection.
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

// admit counts a connection, or closes it.
func (c *connections) admit(conn net.Conn, known bool) {
	var from netip.Prefix
	if known {
		from = c.networkOf(conn.RemoteAddr().String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	counted, open := c.open[conn]
	if limit := c.exceeded(!open, from, counted != from); limit != "" {
		remote := "unknown"
		if known {
			remote = conn.RemoteAddr().String()
		}
		conn.Close()
		c.logRefusal(limit, remote)
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

// exceeded names the limit that leaves no room for one more: in all, or from where it
// comes. It is called with c.mu held.
func (c *connections) exceeded(one bool, from netip.Prefix, another bool) string {
	switch {
	case one && c.most > 0 && len(c.open)+c.streams >= c.most:
		return "limits.connections"
	case another && from.IsValid() && c.perIP > 0 && c.from[from] >= c.perIP:
		return "limits.connections_per_ip"
	}
	return ""
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countOut(c.open[conn])
	delete(c.open, conn)
}

// countFrom and countOut are called with c.mu held.
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

// boundStreams lets next answer a request over HTTP/2 if there is room for it. One too many
// is reset.
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
	if limit := c.exceeded(true, from, true); limit != "" {
		c.logRefusal(limit, remote)
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

// networkOf returns where a connection comes from; the zero Prefix if that is a
// proxy.
func (c *connections) networkOf(remote string) netip.Prefix {
	from := gateway.NetworkOf(remote)
	if slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(from.Addr()) }) {
		return netip.Prefix{}
	}
	return from
}

// logRefusal logs now and then that a connection was closed. It is called with c.mu held.
func (c *connections) logRefusal(limit, remote string) {
	if time.Since(c.told) < tellPause {
		return
	}
	c.told = time.Now()
	c.log.Warn("closed a connection too many; if many clients come from one address, name it in trusted_proxies", "limit", limit, "remote", remote)
}

const tellPause = 10 * time.Second
