package main

import (
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderTimeout is how long a proxy may take to say who the client is.
const proxyHeaderTimeout = 5 * time.Second

// proxied returns a listener whose connections from the proxies must begin with
// a PROXY header, version 1 or 2, which says who the client is
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). From anybody
// else a header is refused, since it would be a forgery, and connections without
// one are as they were. Without proxies it is l.
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
			return proxyproto.REJECT, nil
		},
	}
}
