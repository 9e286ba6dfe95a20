package config

import (
	"net"
	"net/netip"
	"slices"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/auth"
	"tidegate/gateway/rules"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// Development reports whether everything is allowed: there are no rules, and only this
// machine can connect.
func (c *Config) Development() bool {
	return len(c.Rules) == 0 && loopback(c.Listen) && loopback(c.InternalListen)
}

// Gateway returns the gateway's settings: the effective rules, limits and durations.
func (c *Config) Gateway() gateway.Config {
	return gateway.Config{
		Rules:          c.rules(),
		NoAnonymous:    !c.Auth.Anonymous,
		Limits:         c.Limits,
		DrainWindow:    max(c.DrainWindow, 1), // 0 would mean the gateway's default
		PresenceLease:  c.Presence.Lease,
		PresenceLinger: max(c.Presence.Linger, 1), // likewise
	}
}

func (c *Config) rules() rules.List {
	if c.Development() {
		return rules.Development()
	}
	return c.Rules
}

// Broker returns the settings of the Redis broker.
func (r *Redis) Broker() broker.RedisConfig {
	return broker.RedisConfig{URL: string(r.URL), Prefix: r.Prefix, TLSFiles: r.TLS}
}

// Trust returns the effective keys.
func (c *Config) Trust() auth.Config {
	jwt := &c.Auth.JWT
	trust := auth.Config{JWT: auth.JWT{
		Secret:     string(jwt.Secret),
		PublicKeys: jwt.PublicKeys,
		JWKSURL:    jwt.JWKSURL,
		Issuer:     jwt.Issuer,
		Audience:   jwt.Audience,
		Leeway:     jwt.Leeway,
	}}
	if c.Development() && !jwt.Given() {
		trust.JWT.Secret = developmentSecret
	}
	for _, key := range c.Auth.APIKeys {
		trust.Keys = append(trust.Keys, key.auth())
	}
	return trust
}

// developmentSecret signs tokens in development, so that "tidegate token --user alice"
// works without any configuration. It is not a secret: it is not in effect if there are
// rules or if other machines can connect.
const developmentSecret = "development of this machine only: no secret"

func (k APIKey) auth() auth.APIKey {
	return auth.APIKey{Name: k.Name, Key: string(k.Key), Scope: k.scope()}
}

// scope returns what the key is limited to, or nil if it is unrestricted.
func (k APIKey) scope() *gateway.Scope {
	if len(k.Channels) == 0 && len(k.Allow) == 0 {
		return nil
	}
	s := &gateway.Scope{Channels: k.Channels, Read: slices.Contains(k.Allow, Read), Publish: slices.Contains(k.Allow, Publish)}
	if len(k.Channels) == 0 {
		s.Channels = []string{"*"}
	}
	if len(k.Allow) == 0 {
		s.Read, s.Publish = true, true
	}
	return s
}

// Given reports whether a key is configured that verifies tokens.
func (j *JWT) Given() bool {
	return j.Secret != "" || j.PublicKeyFile != "" || j.JWKSURL != ""
}

// Anonymous returns the principal of an API request without a credential: in
// development a backend.
func (c *Config) Anonymous() gateway.Principal {
	if c.Development() && len(c.Auth.APIKeys) == 0 {
		return gateway.Principal{Key: "development"}
	}
	return gateway.Principal{}
}

// AllOrigins returns the origins whose pages may connect: in development, also all pages
// of this machine.
func (c *Config) AllOrigins() []string {
	if c.Development() {
		return append(slices.Clone(c.Origins), "http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*")
	}
	return c.Origins
}

// ProxyHeaders returns the proxies that send a PROXY header.
func (c *Config) ProxyHeaders() []netip.Prefix {
	if c.ProxyProtocol {
		return c.TrustedProxies
	}
	return nil
}

// Webhook returns the settings of the webhook.
func (w *Webhooks) Webhook() webhook.Config {
	return webhook.Config{
		URL: string(w.URL), Secret: string(w.Secret), Events: w.Events,
		Timeout: w.Timeout, WhenAway: w.WhenAway, Headers: w.Headers,
	}
}

// Deflate returns the compression settings, or nil if compression is off.
func (c *Compression) Deflate() *websocket.Deflate {
	if !c.Enabled {
		return nil
	}
	return websocket.NewDeflate(c.MinBytes)
}

// loopback reports whether only this machine can connect to the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && IsLoopback(host)
}

// IsLoopback reports whether a host is this machine's loopback interface. It resolves no name
// except localhost, because other names may resolve differently later.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
