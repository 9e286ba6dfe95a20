package main

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderTimeout limits how long a proxy may take to send the PROXY header.
const proxyHeaderTimeout = 5 * time.Second

// proxied returns a listener on which connections from the proxies must begin with a PROXY
// header, version 1 or 2, with the address of the client
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Connections from any other
// address are unchanged: a header, which would be forged, is no valid request. Without
// proxies, it returns l.
func proxied(l net.Listener, proxies []netip.Prefix) net.Listener {
	if len(proxies) == 0 {
		return l
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: proxyHeaderTimeout,
		ConnPolicy: func(c proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, err := netip.ParseAddrPort(c.Upstream.String())
			if err == nil && contains(proxies, from.Addr()) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

// isAnnounced reports whether the connection begins with a PROXY header. Its RemoteAddr
// then blocks until the header has arrived, or proxyHeaderTimeout has passed.
func isAnnounced(conn net.Conn) bool {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_, ok := conn.(*proxyproto.Conn)
	return ok
}
