package config

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
)

// DefaultURL is that of a gateway on this machine which was told nothing.
const DefaultURL = "ws://127.0.0.1:8080/ws"

// GatewayURL reads what was given as --url, and completes an address that has no
// path.
func GatewayURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return nil, fmt.Errorf("--url is %q: want something like %s", address, DefaultURL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// Token returns what was given as --token, or else in the environment.
func Token(given string) string { return cmp.Or(given, os.Getenv(EnvPrefix+"TOKEN")) }
