package main

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// trustProxies sets the RemoteAddr of requests from a trusted proxy to the client's
// address: the last one in X-Forwarded-For that is not a trusted proxy. Earlier ones could
// have been forged.
func trustProxies(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			client := forwardedFor(from.Addr(), r.Header.Values("X-Forwarded-For"), trusted)
			if client != from.Addr() {
				r.RemoteAddr = net.JoinHostPort(client.String(), "0")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor walks back from the connection's address to the first address that is not
// trusted. It stops early at an invalid address.
func forwardedFor(from netip.Addr, headers []string, trusted []netip.Prefix) netip.Addr {
	hops := strings.Split(strings.Join(headers, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !contains(trusted, from) {
			break
		}
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		from = addr
	}
	return from.Unmap()
}

// parseHop parses an address, to which some proxies append the port.
func parseHop(hop string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr, true
	}
	withPort, err := netip.ParseAddrPort(hop)
	return withPort.Addr(), err == nil
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // a Prefix contains no address with a zone
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
