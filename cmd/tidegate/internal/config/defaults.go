package config

import (
	"log/slog"
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
// enough for them. One address gets a tenth of each.
func limitsWithin(descriptors int, memory int64) (gateway.Limits, Connections) {
	usable := descriptors - reserveOf(descriptors)
	usable = int(min(int64(usable), (memory/4-spareBytes)/clientBytes))
	limits := gateway.DefaultLimits()
	limits.OutboxTotalBytes = int(min(int64(limits.OutboxTotalBytes), memory/8))
	limits.InboundBytes = int(min(int64(limits.InboundBytes), memory/32))
	connections := Connections{Most: usable / 4}
	limits.Sessions = usable - connections.Most
	limits.Subscriptions = limits.Sessions * sharedChannels
	limits.SessionsPerIP = limits.Sessions / 10
	connections.PerIP = connections.Most / 10
	return limits, connections
}

const (
	spareBytes     = 16 << 20
	sharedChannels = 8 // default for each session, if all have as many
	clientBytes    = (3*(sessionBytes+sharedChannels*subscriptionBytes)+connectionBytes)/4 + socketBytes
)

// limitAddresses sets the limits per address that follow from those per client. It removes
// the default limits per address if all clients have the same address, this machine's.
func (c *reading) limitAddresses() {
	l := &c.config.Limits
	l.CommandsPerSecondPerIP = c.given("limits.commands_per_second_per_ip", l.CommandsPerSecondPerIP, gateway.AddressShare*l.CommandsPerSecond)
	l.BytesPerSecondPerIP = c.given("limits.bytes_per_second_per_ip", l.BytesPerSecondPerIP, gateway.AddressShare*l.BytesPerSecond)
	l.InboundBytesPerIP = c.given("limits.inbound_bytes_per_ip", l.InboundBytesPerIP, max(l.InboundBytes/gateway.InboundShare, min(l.MessageBytes, l.InboundBytes)))
	if !loopback(c.config.Listen) || len(c.config.TrustedProxies) > 0 {
		return
	}
	for path, limit := range map[string]*int{
		"limits.sessions_per_ip":            &l.SessionsPerIP,
		"limits.connections_per_ip":         &c.config.Connections.PerIP,
		"limits.commands_per_second_per_ip": &l.CommandsPerSecondPerIP,
		"limits.bytes_per_second_per_ip":    &l.BytesPerSecondPerIP,
		"limits.inbound_bytes_per_ip":       &l.InboundBytesPerIP,
	} {
		*limit = c.given(path, *limit, 0)
	}
}

// given returns the value of a setting if it was set, else otherwise.
func (c *reading) given(path string, value, otherwise int) int {
	if _, given := c.places[path]; given {
		return value
	}
	return otherwise
}
