package config

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// DefaultURL is that of a gateway on this machine which was told nothing.
const DefaultURL = "ws://127.0.0.1:8080/ws"

// GatewayURL reads what was given as --url, or else in the environment, and completes
// an address that has no path. That of a gateway on this machine is the default.
func GatewayURL(given string) (*url.URL, error) {
	address := cmp.Or(given, os.Getenv(EnvPrefix+"URL"), DefaultURL)
	u, err := url.Parse(address)
	if err != nil || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		return nil, fmt.Errorf("--url is no URL of a gateway: want something like %s", DefaultURL) // it may hold a password
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// APIURL is GatewayURL for the HTTP API: the beginning of its paths.
func APIURL(given string) (*url.URL, error) {
	u, err := GatewayURL(given)
	if err != nil {
		return nil, err
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path, u.RawQuery = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/ws"), "/"), ""
	return u, nil
}

// Token returns what was given as --token, or else in the environment.
func Token(given string) string {
	return cmp.Or(given, os.Getenv(EnvPrefix+"TOKEN"), os.Getenv(EnvPrefix+"API_KEY"))
}

// APIKeyGiven returns what was given as --key, or else in the environment.
func APIKeyGiven(given string) string {
	return cmp.Or(given, os.Getenv(EnvPrefix+"API_KEY"), os.Getenv(EnvPrefix+"TOKEN"))
}

// CheckEnvironment returns an error that names the variables which are almost one of
// ours; environ is as os.Environ gives it.
func CheckEnvironment(environ []string) error {
	defaults := Default()
	return misspelt(environ, defaults.settings()).err()
}
