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
// they are sessions, and bounded as such. All methods may be called concurrently.
type connections struct {
	// Fixed at birth.
	most, perIP int            // 0: no limit
	proxies     []netip.Prefix // they bring many clients: perIP is not about them
	announced   bool           // a PROXY header says who comes, which is not there yet when a connection is new
	log         *slog.Logger

	// Guarded by mu.
	mu   sync.Mutex
	open map[net.Conn]netip.Prefix // the zero Prefix: not counted by where it comes from
	from map[netip.Prefix]int
	told time.Time // when it was last logged that one was closed
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
		from = c.networkOf(conn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit := c.exceeded(conn, from); limit != "" {
		conn.Close()
		c.logRefusal(conn, limit, known)
		return
	}
	if c.open == nil {
		c.open, c.from = make(map[net.Conn]netip.Prefix), make(map[netip.Prefix]int)
	}
	if from.IsValid() && c.open[conn] != from {
		c.from[from]++
	}
	c.open[conn] = from
}

// exceeded names the limit that leaves no room for a connection. It is called with
// c.mu held.
func (c *connections) exceeded(conn net.Conn, from netip.Prefix) string {
	counted, open := c.open[conn]
	switch {
	case !open && c.most > 0 && len(c.open) >= c.most:
		return "limits.connections"
	case from.IsValid() && counted != from && c.perIP > 0 && c.from[from] >= c.perIP:
		return "limits.connections_per_ip"
	}
	return ""
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := c.open[conn]
	delete(c.open, conn)
	if c.from[from] > 1 {
		c.from[from]--
	} else {
		delete(c.from, from)
	}
}

// networkOf returns where a connection comes from; the zero Prefix if that is a
// proxy.
func (c *connections) networkOf(conn net.Conn) netip.Prefix {
	from := gateway.NetworkOf(conn.RemoteAddr().String())
	if slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(from.Addr()) }) {
		return netip.Prefix{}
	}
	return from
}

// logRefusal logs now and then that a connection was closed. It is called with c.mu held.
func (c *connections) logRefusal(conn net.Conn, limit string, known bool) {
	if time.Since(c.told) < tellPause {
		return
	}
	c.told = time.Now()
	remote := "unknown"
	if known {
		remote = conn.RemoteAddr().String()
	}
	c.log.Warn("closed a connection too many; if many clients come from one address, name it in trusted_proxies", "limit", limit, "remote", remote)
}

const tellPause = 10 * time.Second
