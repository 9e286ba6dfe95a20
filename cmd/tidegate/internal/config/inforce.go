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

// Development reports whether everything is allowed: nobody wrote rules, and
// nobody but this machine can connect.
func (c *Config) Development() bool {
	return len(c.Rules) == 0 && loopback(c.Listen) && loopback(c.InternalListen)
}

// Gateway returns what is set of the gateway: the rules in force, the limits and
// the times.
func (c *Config) Gateway() gateway.Config {
	return gateway.Config{
		Rules:          c.rules(),
		NoAnonymous:    !c.Auth.Anonymous,
		Limits:         c.Limits,
		DrainWindow:    max(c.DrainWindow, 1), // 0 would mean the gateway's default
		PresenceLease:  c.Presence.Lease,
		PresenceLinger: max(c.Presence.Linger, 1), // the same
	}
}

func (c *Config) rules() rules.List {
	if c.Development() {
		return rules.Development()
	}
	return c.Rules
}

// Broker returns how to reach Redis.
func (r *Redis) Broker() broker.RedisConfig {
	return broker.RedisConfig{URL: string(r.URL), Prefix: r.Prefix, TLSFiles: r.TLS}
}

// Trust returns the keys in force.
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

// developmentSecret signs the tokens of development, where everything is allowed
// to this machine only, so that "tidegate token --user alice" makes an alice
// without any configuration. It is no secret, and opens nothing elsewhere: with
// rules, or on another address, it is not in force.
const developmentSecret = "development of this machine only: no secret"

func (k APIKey) auth() auth.APIKey {
	return auth.APIKey{Name: k.Name, Key: string(k.Key), Scope: k.scope()}
}

// scope returns what the key is good for, nil for everything.
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

// Given reports whether there is a key that verifies tokens.
func (j *JWT) Given() bool {
	return j.Secret != "" || j.PublicKeyFile != "" || j.JWKSURL != ""
}

// Anonymous returns who a request to the API without a credential acts as: in
// development a backend.
func (c *Config) Anonymous() gateway.Principal {
	if c.Development() && len(c.Auth.APIKeys) == 0 {
		return gateway.Principal{Key: "development"}
	}
	return gateway.Principal{}
}

// AllOrigins returns the origins whose pages may connect: in development, every
// page of this machine's as well.
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

// Webhook returns what a backend is asked and told.
func (w *Webhooks) Webhook() webhook.Config {
	return webhook.Config{
		URL: string(w.URL), Secret: string(w.Secret), Events: w.Events,
		Timeout: w.Timeout, WhenAway: w.WhenAway, Headers: w.Headers,
	}
}

// Deflate returns how messages are compressed, or nil if they are not.
func (c *Compression) Deflate() *websocket.Deflate {
	if !c.Enabled {
		return nil
	}
	return websocket.NewDeflate(c.MinBytes)
}

// loopback reports whether only this machine can connect to the address. A name
// other than localhost is not resolved: it might resolve differently tomorrow.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
