package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"tidegate/cmd/tidegate/internal/config"
)

// listener is one of the node's two listeners.
type listener struct {
	net.Listener
	tls bool
}

// listen binds the address of a setting. If the address is in use, the error says which
// setting to change. Connections from proxies must begin with a PROXY header.
func listen(setting, address string, files config.TLS, proxies []netip.Prefix, log *slog.Logger) (listener, error) {
	l, err := listening.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		env, flag := config.Spellings(setting)
		return listener{}, fmt.Errorf("%s: the address %s is in use: stop what uses it, or set %s to another (%s, %s)",
			setting, address, setting, env, flag)
	}
	if err != nil {
		return listener{}, fmt.Errorf("%s: %w", setting, err)
	}
	l = proxied(l, proxies)
	if files.CertFile == "" {
		return listener{Listener: l}, nil
	}
	c, err := newCertificate(files, log)
	if err != nil {
		l.Close()
		return listener{}, fmt.Errorf("tls: %w", err)
	}
	return listener{tls.NewListener(l, c.tlsConfig()), true}, nil
}

// url returns the URL of a path, for use on this machine.
func (l listener) url(scheme, path string) string {
	if l.tls {
		scheme += "s"
	}
	return scheme + "://" + onThisMachine(l.Addr().String()) + path
}

// onThisMachine returns the address at which this machine reaches what listens on an address.
func onThisMachine(address string) string {
	host, port, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
