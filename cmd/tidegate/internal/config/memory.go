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

// Memory is the most memory that a node can use, by part.
type Memory []Part

// Part is the memory of all things of one kind, if there are as many as allowed.
type Part struct {
	What   string // "sessions"
	How    string // "15,000 of 8 KiB"
	Bytes  int64  // Unbounded if their number is not limited
	Kernel bool   // used by the kernel: counts towards a container's limit, but not towards the process
}

// HTTP2Bytes is the most data that an HTTP/2 connection buffers until it is read. HTTP/2 is
// used only with TLS.
const HTTP2Bytes = 64 << 10

// Unbounded is the Bytes of a Part whose limit is 0.
const Unbounded = -1

// Memory of one thing of each kind, rounded up. A test compares their sum with a
// node under attack.
const (
	programBytes      = 64 << 20
	sessionBytes      = 8 << 10
	tlsBytes          = 48 << 10                         // of a session or connection with TLS, in addition
	portableBytes     = 32 << 10                         // of a session with the portable engine, in addition: buffers, stacks, and data for a slow peer
	subscriptionBytes = 3 << 10                          // with the rate limiter of joins and leaves, and a member's info
	connectionBytes   = 60<<10 + transport.PumpBytes*5/4 // two buffers, stacks, a header of 32 KiB, and a pump with the spare capacity of its slice
	heldFactor        = 3                                // bytes held, and their decoded and encoded copies
	redisBytes        = 64 << 20
	webhookBytes      = webhook.AnswerBytes + 32<<20 // plus notices on their way into and out of the line
	compressorBytes   = 820 << 10
	socketBytes       = 24 << 10 // unsent and unread data of a connection
	garbageShare      = 4        // one part in this many of the process's memory is garbage not collected yet
)

// Memory returns the parts of the memory that the limits allow.
func (c *Config) Memory() Memory {
	l := c.Limits
	session, connection := sessionBytes, connectionBytes
	switch {
	case c.TLS.CertFile != "":
		session, connection = session+tlsBytes, connection+tlsBytes+HTTP2Bytes*3/2 // and header tables
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
		each("outboxes in total", l.OutboxTotalBytes, 1),
		each("held for clients", l.InboundBytes, heldFactor),
		{What: "recent history", Bytes: gateway.HistoryBytes},
		each("rates of departed clients", gateway.RatesLet, gateway.RateBytes),
		each("bans and revocations", broker.RegisterRoom, gateway.DenialBytes),
	}
	switch {
	case c.UsesRedis():
		m = append(m, Part{What: "connections to Redis", Bytes: redisBytes}, Part{What: "messages between nodes", Bytes: gateway.BetweenNodes})
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
	sockets := l.Sessions + c.Connections.Most + internal
	if l.Sessions == 0 || c.Connections.Most == 0 {
		sockets = 0 // any number
	}
	buffers := each("kernel buffers", sockets, socketBytes)
	buffers.Kernel = true
	return append(m, buffers)
}

// UsesRedis reports whether messages are sent through Redis.
func (c *Config) UsesRedis() bool { return c.Redis.URL != "" || c.Redis.URLFile != "" }

// keyBytes is the memory of an idempotency key in Redis: the longest key and channel, the
// position, and what Redis needs for a key that expires.
const keyBytes = 700

// InRedis returns the most memory in Redis for the idempotency keys of this node's clients.
// Backends must limit their own keys, and rules the histories. For each webhook that is told
// of a message, its key is stored once more.
func (c *Config) InRedis() Part {
	return each("idempotency keys", (1+c.webhooksPerMessage())*c.Limits.KeysPerSecond*int(broker.IdempotencyWindow/time.Second), keyBytes)
}

// webhooksPerMessage returns how many webhooks are told of one message at most: those of the
// apps without a prefix, and of one app that has a prefix.
func (c *Config) webhooksPerMessage() int {
	byPrefix, most := make(map[string]int), 0
	for _, app := range c.Pusher.Apps {
		for i := range app.Webhooks {
			if app.Webhooks[i].Wants(gateway.OnPublished) && !app.Disabled {
				byPrefix[app.Prefix]++
			}
		}
	}
	for prefix, n := range byPrefix {
		if prefix != "" {
			most = max(most, n)
		}
	}
	if c.Webhooks.Wants(gateway.OnPublished) {
		most++
	}
	return most + byPrefix[""]
}

// each returns the Part of a number of things; most is 0 if the number is not limited.
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

// Process returns the memory of the process, and the parts that have no bound.
func (m Memory) Process() (sum int64, unbounded []string) {
	return m.sum(func(p Part) bool { return !p.Kernel })
}

// Container returns the same, including the kernel's memory.
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

// Size formats a number of bytes for people.
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
