// Package config reads the settings of a gateway from a YAML file, the environment and
// flags, and converts them to the Config of each package.
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

// Config holds all settings. Its settings method is the table of their names.
type Config struct {
	Listen         string
	InternalListen string
	Log            Log
	TLS            TLS
	Redis          Redis
	Origins        []string
	CORSHeaders    []string // request headers that pages of other origins may send, besides those that the gateway reads
	TrustedProxies []netip.Prefix
	ProxyProtocol  bool // trusted proxies begin each connection with a PROXY header
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

// Log configures logging.
type Log struct {
	Level  slog.Level
	Format string // text or json
	Audit  string // which requests with an API key are logged: changes, all or off
}

// TLS names the PEM files of a certificate and its key. Both are empty without TLS.
type TLS struct{ CertFile, KeyFile string }

// Redis configures the connection to Redis. The content of URLFile replaces URL.
type Redis struct {
	URL     Secret // empty means that messages stay in this process
	URLFile string
	Prefix  string
	TLS     broker.RedisTLS
}

// Tracing configures the tracing of messages.
type Tracing struct {
	Enabled  bool
	Endpoint string  // URL of an OpenTelemetry collector; if empty, OTEL_EXPORTER_OTLP_ENDPOINT applies
	Ratio    float64 // share of publishes to trace if no backend has decided that
}

// Auth configures which credentials are accepted.
type Auth struct {
	Anonymous   bool
	APIKeys     []APIKey
	APIKeysFile string
	JWT         JWT
}

// APIKey is the key of a backend. The content of KeyFile replaces Key.
type APIKey struct {
	Name    string
	Key     Secret
	KeyFile string

	Channels []string // patterns of channels that the key is limited to; empty means all
	Allow    []Right  // rights on these channels; empty means both
}

// Right is something that an API key may do on its channels.
type Right string

// Rights of an API key. A key without Channels and Allow is unrestricted.
const (
	Read    Right = "read" // subscribe, history, presence
	Publish Right = "publish"
)

// JWT configures the verification of clients' tokens.
type JWT struct {
	Secret        Secret
	SecretFile    string
	PublicKeyFile string
	PublicKeys    []byte // content of PublicKeyFile
	JWKSURL       string
	Issuer        string
	Audience      string
	Leeway        time.Duration
}

// Connections limits the HTTP connections of the public listener, including streams. A
// connection that has become a WebSocket counts as a session instead. 0 means no limit.
type Connections struct {
	Most  int
	PerIP int // per IPv4 address or IPv6 /64, except trusted proxies
}

// Presence configures when a user who may be away counts as gone.
type Presence struct{ Lease, Linger time.Duration }

// Webhooks configures what a backend is asked and told.
type Webhooks struct {
	URL        Secret // secret, because it may contain a password or a token
	Secret     Secret
	SecretFile string
	Events     []gateway.HookEvent
	Timeout    time.Duration
	WhenAway   webhook.Verdict
	Headers    []string
}

// Wants reports whether the backend is asked or told about an event.
func (w *Webhooks) Wants(event gateway.HookEvent) bool {
	return w.URL != "" && slices.Contains(w.Events, event)
}

// Compression configures permessage-deflate.
type Compression struct {
	Enabled  bool
	MinBytes int // smaller payloads are not compressed
}

// WebSocket selects how WebSockets are read.
type WebSocket struct{ Engine websocket.Engine }

// Centrifuge configures the endpoints for clients of that family.
type Centrifuge struct {
	Path          string // prefix of the client endpoints; empty disables them
	EmulationPath string // path of requests that belong to streams; empty disables it
	APIPath       string // prefix of the server API; empty disables it
}

// Pusher lists the applications whose clients and backends speak Pusher's protocol.
type Pusher struct{ Apps []PusherApp }

// PusherApp is one application. The content of SecretFile replaces the secret.
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
