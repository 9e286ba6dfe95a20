package config

import (
	"log/slog"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// Default returns the configuration of a gateway to which nothing was said.
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

// limitsWithin returns the default limits of a process with so many file
// descriptors and so much memory. Three quarters of the descriptors that are not
// kept are for sessions and one for connections that speak HTTP, unless a quarter of
// the memory, but for a little, is too little for them; a tenth of each is for one address.
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
	sharedChannels = 8 // of a session, by default, if all have as many
	clientBytes    = (3*(sessionBytes+sharedChannels*subscriptionBytes)+connectionBytes)/4 + socketBytes
)

// limitAddresses sets the limits of an address that follow from those of a client,
// and takes the default ones back where all clients have the same address, this
// machine's.
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

// given returns the value of a setting if somebody gave it, else another.
func (c *reading) given(path string, value, otherwise int) int {
	if _, given := c.places[path]; given {
		return value
	}
	return otherwise
}
