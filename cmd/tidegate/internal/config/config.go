// Package config reads the settings of a gateway from a YAML file, the
// environment and flags, and makes of them what each package asks for.
package config

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/pusher"
	"tidegate/gateway/rules"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// Config is all that can be set. Its settings method is the table of names.
type Config struct {
	Listen         string
	InternalListen string
	Log            Log
	TLS            TLS
	Redis          Redis
	Origins        []string
	CORSHeaders    []string // that pages of other origins may send, beside those that the gateway reads
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool // trusted proxies say who the client is before its first byte
	Auth           Auth
	Rules          rules.List
	Limits         gateway.Limits
	Connections    Connections
	Presence       Presence
	DrainWindow    time.Duration
	Webhooks       Webhooks
	Compression    Compression
	WebSocket      WebSocket
	Centrifuge     Centrifuge
	Pusher         Pusher
	Tracing        Tracing
}

// Log is what the gateway logs.
type Log struct {
	Level  slog.Level
	Format string // text or json
	Audit  string // which requests with an API key are logged: changes, all or off
}

// TLS is the files of a certificate and of its key, PEM. Both are empty: no TLS.
type TLS struct{ CertFile, KeyFile string }

// Redis is where messages go. What is in URLFile replaces URL as it is read.
type Redis struct {
	URL     Secret // empty: messages stay in this process
	URLFile string
	Prefix  string
	TLS     broker.RedisTLS
}

// Tracing is whether messages are traced, and who is told.
type Tracing struct {
	Enabled  bool
	Endpoint string  // URL of an OpenTelemetry collector; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says
	Ratio    float64 // of the publishes that no backend has traced already
}

// Auth is who may come in.
type Auth struct {
	Anonymous   bool
	APIKeys     []APIKey
	APIKeysFile string
	JWT         JWT
}

// APIKey is that of a backend. What is in KeyFile replaces Key as it is read.
type APIKey struct {
	Name    string
	Key     Secret
	KeyFile string

	Channels []string // patterns that it is good for; empty: all
	Allow    []Right  // on them; empty: both
}

// Right is what an API key may do on its channels.
type Right string

// The rights. A key with neither Channels nor Allow may do everything besides.
const (
	Read    Right = "read" // subscribe, history, presence
	Publish Right = "publish"
)

// JWT is how clients' tokens are verified.
type JWT struct {
	Secret        Secret
	SecretFile    string
	PublicKeyFile string
	PublicKeys    []byte // what is in PublicKeyFile
	JWKSURL       string
	Issuer        string
	Audience      string
	Leeway        time.Duration
}

// Connections bounds the connections of the public listener that speak HTTP,
// streams among them. Those that became WebSockets are sessions. 0: no limit.
type Connections struct {
	Most  int
	PerIP int // of one IPv4 address or one IPv6 /64, but for trusted proxies
}

// Presence is how long users are there who may be away.
type Presence struct{ Lease, Linger time.Duration }

// Webhooks is what a backend is asked and told.
type Webhooks struct {
	URL        Secret // some hold a password or a token
	Secret     Secret
	SecretFile string
	Events     []gateway.HookEvent
	Timeout    time.Duration
	WhenAway   webhook.Verdict
	Headers    []string
}

func (w *Webhooks) wants(event gateway.HookEvent) bool {
	return w.URL != "" && slices.Contains(w.Events, event)
}

// Compression is about permessage-deflate.
type Compression struct {
	Enabled  bool
	MinBytes int // payloads below it are not compressed
}

// WebSocket is how WebSockets are read.
type WebSocket struct{ Engine websocket.Engine }

// Centrifuge is where clients of that family find the gateway.
type Centrifuge struct {
	Path          string // begins the paths of connections; empty: there are none
	EmulationPath string // of requests that belong to streams; empty: there are none
	APIPath       string // begins those of the server API; empty: there is none
}

// Pusher is the applications of clients and backends that speak Pusher's protocol.
type Pusher struct{ Apps []PusherApp }

// PusherApp is one of them. What is in SecretFile replaces the secret as it is read.
type PusherApp struct {
	pusher.App
	SecretFile string
}

// List returns the apps.
func (p *Pusher) List() []pusher.App {
	list := make([]pusher.App, len(p.Apps))
	for i := range p.Apps {
		list[i] = p.Apps[i].App
	}
	return list
}
