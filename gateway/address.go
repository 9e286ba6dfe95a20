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

// NetworkOf returns what identifies a client by its address: an IPv4 address, or the /64
// network of an IPv6 address, because one client may own all its 2^64 addresses. It returns
// the zero Prefix for anything that is not an IP address.
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
	network, _ := addr.Prefix(bits) // bits is always valid here
	return network
}
