package config

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
	"tidegate/gateway/webhook"
	"tidegate/gateway/websocket"
)

// Memory is what a node takes at most, part by part.
type Memory []Part

// Part is what all things of a kind take if there are as many as there may be.
type Part struct {
	What   string // "sessions"
	How    string // "15,000 of 8 KiB"
	Bytes  int64  // Unbounded: there may be any number
	Kernel bool   // it is the kernel's: a container's limit counts it, the process does not have it
}

// HTTP2Bytes is what a connection over HTTP/2, of which TLS is the beginning, has of what
// was sent and is not read.
const HTTP2Bytes = 64 << 10

// Unbounded is what a Part has whose limit is 0.
const Unbounded = -1

// What one thing of a kind takes, with some room: a test holds a node under attack
// to their sum.
const (
	programBytes      = 64 << 20
	sessionBytes      = 8 << 10
	tlsBytes          = 48 << 10                         // of a session or a connection, beside it
	portableBytes     = 32 << 10                         // of a session whose engine is the portable one, beside it: buffers, stacks, and what waits for a peer that does not read
	subscriptionBytes = 3 << 10                          // with the rate of joins and leaves, and a member's info
	connectionBytes   = 60<<10 + transport.PumpBytes*5/4 // two buffers, stacks, a header of 32 KiB, and what a pump has, with what a slice has beyond it
	heldFactor        = 3                                // bytes held, and what they are decoded to and encoded from
	redisBytes        = 64 << 20
	webhookBytes      = webhook.AnswerBytes + 32<<20 // and notices, on their way to the line and from there
	compressorBytes   = 820 << 10
	socketBytes       = 24 << 10 // unsent and unread, of a connection
	garbageShare      = 4        // of what the process has, one part in so many is not yet collected
)

// Memory returns the sum of the bounds.
func (c *Config) Memory() Memory {
	l := c.Limits
	session, connection := sessionBytes, connectionBytes
	switch {
	case c.TLS.CertFile != "":
		session, connection = session+tlsBytes, connection+tlsBytes+HTTP2Bytes*3/2 // and tables of headers
	case c.WebSocket.Engine == websocket.Portable || runtime.GOOS != "linux":
		session += portableBytes
	}
	internal := mostReserve / 2
	m := Memory{
		{What: "the program", Bytes: programBytes},
		each("sessions", l.Sessions, session),
		each("subscriptions", l.Subscriptions, subscriptionBytes),
		each("HTTP connections", c.Connections.Most, connection),
		each("internal connections", internal, connectionBytes),
		each("outboxes in all", l.OutboxTotalBytes, 1),
		each("held for clients", l.InboundBytes, heldFactor),
		{What: "recent history", Bytes: gateway.HistoryBytes},
		each("rates of who has left", gateway.RatesLet, gateway.RateBytes),
		each("bans and revocations", broker.RegisterRoom, gateway.DenialBytes),
	}
	switch {
	case c.UsesRedis():
		m = append(m, Part{What: "links to Redis", Bytes: redisBytes}, Part{What: "said between nodes", Bytes: gateway.BetweenNodes})
	case slices.ContainsFunc(c.rules(), func(r rules.Rule) bool { return r.KeepsHistory() }):
		m = append(m, Part{What: "histories in memory", How: "any number", Bytes: Unbounded})
	}
	if !c.UsesRedis() {
		m = append(m, Part{What: "idempotency keys", Bytes: broker.MemoryKeyBytes})
	}
	if c.Webhooks.URL != "" {
		m = append(m, Part{What: "webhooks", Bytes: webhookBytes})
	}
	if c.Compression.Enabled {
		m = append(m, each("compressors", runtime.GOMAXPROCS(0), compressorBytes))
	}
	if own, unbounded := m.Process(); len(unbounded) == 0 {
		m = append(m, Part{What: "garbage", How: "a quarter of these", Bytes: own / garbageShare})
	}
	sockets := each("kernel buffers", l.Sessions+c.Connections.Most+internal, socketBytes)
	if l.Sessions == 0 || c.Connections.Most == 0 {
		sockets.Bytes = Unbounded
	}
	sockets.Kernel = true
	return append(m, sockets)
}

// UsesRedis reports whether messages travel through Redis.
func (c *Config) UsesRedis() bool { return c.Redis.URL != "" || c.Redis.URLFile != "" }

// keyBytes is what an idempotency key takes in Redis: the longest key and channel, the
// position, and what Redis keeps beside a key that expires.
const keyBytes = 700

// InRedis returns what the idempotency keys of this node's clients take in Redis at most;
// those of backends, and histories, are for backends and rules to bound. A webhook that is
// told of each message has each key once more.
func (c *Config) InRedis() Part {
	of := 1
	if c.Webhooks.wants(gateway.OnPublished) {
		of++
	}
	return each("idempotency keys", of*c.Limits.KeysPerSecond*int(broker.IdempotencyWindow/time.Second), keyBytes)
}

// each is a part of so many things; 0: nobody knows how many.
func each(what string, most, bytes int) Part {
	switch {
	case most == 0:
		return Part{What: what, How: "any number", Bytes: Unbounded}
	case bytes < 10:
		return Part{What: what, How: Size(int64(most)) + times(bytes), Bytes: int64(most) * int64(bytes)}
	}
	return Part{What: what, How: fmt.Sprintf("%d of %s", most, Size(int64(bytes))), Bytes: int64(most) * int64(bytes)}
}

func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(", %d times", n)
}

// Process returns the sum of what the process has, and the parts that nothing
// bounds.
func (m Memory) Process() (sum int64, unbounded []string) {
	return m.sum(func(p Part) bool { return !p.Kernel })
}

// Container returns the same with what the kernel has for it.
func (m Memory) Container() (sum int64, unbounded []string) {
	return m.sum(func(Part) bool { return true })
}

func (m Memory) sum(counts func(Part) bool) (sum int64, unbounded []string) {
	for _, part := range m {
		switch {
		case !counts(part):
		case part.Bytes == Unbounded:
			unbounded = append(unbounded, part.What)
		default:
			sum += part.Bytes
		}
	}
	return sum, unbounded
}

// Size writes a number of bytes for people.
func Size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%d B", bytes)
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", (bytes+1<<29)>>30)
	case bytes >= 10<<20:
		return fmt.Sprintf("%d MiB", (bytes+1<<19)>>20)
	}
	return fmt.Sprintf("%d KiB", (bytes+1<<9)>>10)
}
