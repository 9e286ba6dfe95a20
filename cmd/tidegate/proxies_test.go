package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestTrustProxies_TheClientIsTheLastOneThatNoTrustedProxyWrote(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, from string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.7:5000", nil, "203.0.113.7:5000"},
		{"a client that claims to be a proxy", "203.0.113.7:5000", []string{"198.51.100.1"}, "203.0.113.7:5000"},
		{"one proxy", "10.0.0.1:5000", []string{"203.0.113.7"}, "203.0.113.7:0"},
		{"a forged entry before the proxy's", "10.0.0.1:5000", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7:0"},
		{"a forged header before the proxy's", "10.0.0.1:5000", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7:0"},
		{"two proxies", "10.0.0.1:5000", []string{"203.0.113.7, 10.0.0.2"}, "203.0.113.7:0"},
		{"proxies alone", "10.0.0.1:5000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"a proxy without the header", "10.0.0.1:5000", nil, "10.0.0.1:5000"},
		{"a port", "10.0.0.1:5000", []string{"203.0.113.7:4711"}, "203.0.113.7:0"},
		{"IPv6 and a port", "10.0.0.1:5000", []string{"[2001:db8::7]:4711"}, "[2001:db8::7]:0"},
		{"nothing after the comma", "10.0.0.1:5000", []string{"203.0.113.7,"}, "10.0.0.1:5000"},
		{"nonsense", "10.0.0.1:5000", []string{"unknown"}, "10.0.0.1:5000"},
		{"nonsense behind a proxy", "10.0.0.1:5000", []string{"203.0.113.7, x, 10.0.0.2"}, "10.0.0.2:0"},
		{"IPv6", "[fd00::1]:5000", []string{"2001:db8::7"}, "[2001:db8::7]:0"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5000", []string{"::ffff:203.0.113.7"}, "203.0.113.7:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			h := trustProxies(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.from
			for _, line := range c.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("client %s, want %s", got, c.want)
			}
		})
	}
}
