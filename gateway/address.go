package gateway

import (
	"net"
	"net/netip"
)

// hostOf returns a client's address without its port.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// NetworkOf returns what tells one client from another: an IPv4 address, or the /64
// network of an IPv6 address, since one client may have all 2^64 addresses of that. The
// zero Prefix stands for anything that is not an IP address.
func NetworkOf(remote string) netip.Prefix {
	addr, err := netip.ParseAddr(hostOf(remote))
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the number of bits is right
	return network
}
