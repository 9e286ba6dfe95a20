package main

import (
	"log/slog"
	"net/netip"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/auth"
	"tidegate/gateway/transport"
	"tidegate/gateway/webhook"
)

// config is all that can be set, in a YAML file, in the environment and by
// flags. Its settings method is the table of names.
type config struct {
	Listen         string
	InternalListen string
	Log            logConfig
	TLS            tlsConfig
	Redis          redisConfig
	Origins        []string
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool // trusted proxies say who the client is before its first byte
	Auth           authConfig
	Rules          gateway.Rules
	Limits         gateway.Limits
	Presence       presenceConfig
	DrainWindow    time.Duration
	Webhooks       webhooksConfig
	Compression    compressionConfig
}

// compressionConfig is about permessage-deflate.
type compressionConfig struct {
	Enabled  bool
	MinBytes int // payloads below it are not compressed
}

// deflate returns nil if nothing is compressed.
func (c *compressionConfig) deflate() *transport.Deflate {
	if !c.Enabled {
		return nil
	}
	return transport.NewDeflate(c.MinBytes)
}

type logConfig struct {
	Level  slog.Level
	Format string // text or json
}

type tlsConfig struct{ CertFile, KeyFile string }

type redisConfig struct {
	URL     secret // empty: messages stay in this process
	URLFile string
	Prefix  string
}

type authConfig struct {
	Anonymous   bool
	APIKeys     []apiKey
	APIKeysFile string
	JWT         jwtConfig
}

type apiKey struct {
	Name    string
	Key     secret
	KeyFile string
}

type jwtConfig struct {
	Secret        secret
	SecretFile    string
	PublicKeyFile string
	PublicKeys    []byte // what is in PublicKeyFile
	JWKSURL       string
	Issuer        string
	Audience      string
	Leeway        time.Duration
}

type presenceConfig struct{ Lease, Linger time.Duration }

type webhooksConfig struct {
	URL        secret // some hold a password or a token
	Secret     secret
	SecretFile string
	Events     []gateway.HookEvent
	Timeout    time.Duration
	WhenAway   webhook.Verdict
	Headers    []string
}

func defaultConfig() config {
	return config{
		Listen:         "127.0.0.1:8080",
		InternalListen: "127.0.0.1:9080",
		Log:            logConfig{Level: slog.LevelInfo, Format: "text"},
		Redis:          redisConfig{Prefix: "tidegate:"},
		Auth:           authConfig{Anonymous: true, JWT: jwtConfig{Leeway: 5 * time.Second}},
		Limits:         gateway.DefaultLimits(),
		Presence:       presenceConfig{Lease: 30 * time.Second, Linger: 5 * time.Second},
		DrainWindow:    10 * time.Second,
		Webhooks:       webhooksConfig{Timeout: 2 * time.Second, WhenAway: webhook.Deny},
		Compression:    compressionConfig{MinBytes: 256},
	}
}

func (r *redisConfig) broker() broker.RedisConfig {
	return broker.RedisConfig{URL: string(r.URL), Prefix: r.Prefix}
}

// auth returns whom the gateway trusts. The files have been read by then.
func (a *authConfig) auth() auth.Config {
	c := auth.Config{JWT: auth.JWT{
		Secret:     string(a.JWT.Secret),
		PublicKeys: a.JWT.PublicKeys,
		JWKSURL:    a.JWT.JWKSURL,
		Issuer:     a.JWT.Issuer,
		Audience:   a.JWT.Audience,
		Leeway:     a.JWT.Leeway,
	}}
	for _, k := range a.APIKeys {
		c.Keys = append(c.Keys, k.auth())
	}
	return c
}

func (k apiKey) auth() auth.APIKey { return auth.APIKey{Name: k.Name, Key: string(k.Key)} }

// webhook returns what a backend is asked and told. The secret's file has been
// read by then.
func (w *webhooksConfig) webhook() webhook.Config {
	return webhook.Config{
		URL: string(w.URL), Secret: string(w.Secret), Events: w.Events,
		Timeout: w.Timeout, WhenAway: w.WhenAway, Headers: w.Headers,
	}
}

// secret is a text that no log, no error and no format verb shows.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

func (s secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders, too, from showing it.
func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
