package config

import (
	"log/slog"
	"strings"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// Default returns the default configuration.
func Default() Config {
	limits, connections := limitsWithin(Descriptors(), machineMemory())
	return Config{
		Listen:         "127.0.0.1:8080",
		InternalListen: "127.0.0.1:9080",
		Log:            Log{Level: slog.LevelInfo, Format: "text", Audit: "changes"},
		Redis:          Redis{Prefix: "tidegate:"},
		CORSHeaders:    []string{"Cache-Control", "X-Requested-With", "traceparent", "tracestate"},
		Auth:           Auth{Anonymous: true, JWT: JWT{Leeway: 5 * time.Second}},
		Limits:         limits,
		Connections:    connections,
		Presence:       Presence{Lease: 30 * time.Second, Linger: 5 * time.Second},
		DrainWindow:    10 * time.Second,
		Webhooks:       Webhooks{Timeout: 2 * time.Second, WhenAway: webhook.Deny},
		Compression:    Compression{MinBytes: 256},
		WebSocket:      WebSocket{Engine: websocket.Auto},
		Tracing:        Tracing{Ratio: 0.01},
		Centrifuge:     Centrifuge{Path: "/connection", EmulationPath: "/emulation", APIPath: "/api"},
	}
}

// limitsWithin returns the default limits for a number of file descriptors and an amount of
// memory. Sessions get three quarters of the descriptors that are not reserved, and HTTP
// connections one quarter; but fewer if a quarter of the memory, minus spareBytes, is not
// enough for them. There are always some.
func limitsWithin(descriptors int, memory int64) (gateway.Limits, Connections) {
	usable := descriptors - reserveOf(descriptors)
	usable = max(int(min(int64(usable), (memory/4-spareBytes)/clientBytes)), leastClients)
	c := Config{Limits: gateway.DefaultLimits(), Connections: Connections{Most: usable / 4}}
	c.Limits.OutboxTotalBytes = int(min(int64(c.Limits.OutboxTotalBytes), memory/8))
	c.Limits.InboundBytes = int(min(int64(c.Limits.InboundBytes), memory/32))
	c.Limits.Sessions = usable - c.Connections.Most
	for _, d := range c.derivedLimits() {
		*d.limit = d.value
	}
	return c.Limits, c.Connections
}

const (
	spareBytes     = 16 << 20
	leastClients   = 20
	sharedChannels = 8 // for each session, if all have as many
	clientBytes    = (3*(sessionBytes+sharedChannels*subscriptionBytes)+connectionBytes)/4 + socketBytes
)

// derivedLimit is a limit with the value that it has unless it is given.
type derivedLimit struct {
	limit *int
	value int
}

// derivedLimits returns the limits that follow from others, by path.
func (c *Config) derivedLimits() map[string]derivedLimit {
	l, tenth := &c.Limits, func(n int) int { return (n + 9) / 10 }
	return map[string]derivedLimit{
		"limits.subscriptions":              {&l.Subscriptions, sharedChannels * l.Sessions},
		"limits.sessions_per_ip":            {&l.SessionsPerIP, tenth(l.Sessions)},
		"limits.connections_per_ip":         {&c.Connections.PerIP, tenth(c.Connections.Most)},
		"limits.commands_per_second_per_ip": {&l.CommandsPerSecondPerIP, gateway.AddressShare * l.CommandsPerSecond},
		"limits.bytes_per_second_per_ip":    {&l.BytesPerSecondPerIP, gateway.AddressShare * l.BytesPerSecond},
		"limits.inbound_bytes_per_ip":       {&l.InboundBytesPerIP, max(l.InboundBytes/gateway.InboundShare, min(l.MessageBytes, l.InboundBytes))},
	}
}

// deriveLimits sets the limits that follow from others and are not given. There is none for
// an address if all clients have the same one, this machine's.
func (c *reading) deriveLimits() {
	oneAddress := loopback(c.config.Listen) && len(c.config.TrustedProxies) == 0
	for path, d := range c.config.derivedLimits() {
		_, given := c.places[path]
		switch {
		case given:
		case oneAddress && strings.HasSuffix(path, "_per_ip"):
			*d.limit = 0
		default:
			*d.limit = max(d.value, 0)
		}
	}
}
