package config

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// DefaultURL is the URL of a gateway on this machine with the default configuration.
const DefaultURL = "ws://127.0.0.1:8080/ws"

// GatewayURL returns the URL given as --url or, if that is empty, in the environment, or
// DefaultURL. If the URL has no path, it adds /ws. A variable of the environment that looks
// like a misspelt one is an error.
func GatewayURL(given string) (*url.URL, error) {
	defaults := Default()
	if misspelt, _ := unknown(os.Environ(), defaults.settings()); len(misspelt) > 0 {
		return nil, misspelt
	}
	address := cmp.Or(given, os.Getenv(EnvPrefix+"URL"), DefaultURL)
	u, err := url.Parse(address)
	if err != nil || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		return nil, fmt.Errorf("the URL of the gateway, as given or in %sURL, is not valid: want something like %s", EnvPrefix, DefaultURL) // does not quote the URL, which may contain a password
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	return u, nil
}

// APIURL is like GatewayURL but returns the base URL of the HTTP API.
func APIURL(given string) (*url.URL, error) {
	u, err := GatewayURL(given)
	if err != nil {
		return nil, err
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path, u.RawQuery = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/ws"), "/"), ""
	return u, nil
}

// Token returns the token given as --token or, if that is empty, in the environment.
func Token(given string) string {
	return cmp.Or(given, os.Getenv(EnvPrefix+"TOKEN"), os.Getenv(EnvPrefix+"API_KEY"))
}

// APIKeyGiven returns the API key given as --key or, if that is empty, in the environment.
func APIKeyGiven(given string) string {
	return cmp.Or(given, os.Getenv(EnvPrefix+"API_KEY"), os.Getenv(EnvPrefix+"TOKEN"))
}
