package simulation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/native"
)

// lines is the native protocol with a line for each frame.
type lines struct{ native.Protocol }

func (l lines) Encode(event gateway.Event) (gateway.Frame, error) {
	frame, err := l.Protocol.Encode(event)
	if len(frame.Data) > 0 {
		frame.Data = append(frame.Data, '\n')
	}
	return frame, err
}

// conn is a client's connection. It holds so many frames that the client has not read.
type conn struct {
	name string
	says chan string
	over chan struct{} // closed when it has ended
	once sync.Once

	// Guarded by mu.
	mu      sync.Mutex
	waiting [][]byte // lines for the client
	heard   time.Time
	held    bool          // nothing goes through
	changed chan struct{} // closed and replaced
	reason  string
}

const connHolds = 64

func newConn(name string) *conn {
	return &conn{name: name, says: make(chan string), over: make(chan struct{}), heard: time.Now(), changed: make(chan struct{})}
}

func (c *conn) Read(context.Context) (gateway.Frame, error) {
	select {
	case text := <-c.says:
		c.mu.Lock()
		c.heard = time.Now()
		c.mu.Unlock()
		return gateway.Frame{Data: []byte(text)}, nil
	case <-c.over:
		return gateway.Frame{}, io.EOF
	}
}

func (c *conn) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	deadline := time.Now().Add(wait)
	for {
		select {
		case <-c.over:
			return frames, io.ErrClosedPipe
		default:
		}
		var changed chan struct{}
		frames, changed = c.put(frames)
		left := time.Until(deadline)
		if len(frames) == 0 || left <= 0 {
			return frames, nil
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-c.over:
		}
		timer.Stop()
	}
}

// put takes what there is room for.
func (c *conn) put(frames [][]byte) (rest [][]byte, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(frames) > 0 && !c.held && len(c.waiting) < connHolds {
		for line := range bytes.Lines(frames[0]) {
			c.waiting = append(c.waiting, bytes.Clone(line))
		}
		frames = frames[1:]
		c.wake()
	}
	return frames, c.changed
}

// wake is called with mu held.
func (c *conn) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// hold lets nothing through, or all that was kept back.
func (c *conn) hold(held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = held
	c.wake()
}

func (c *conn) Heard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// Close lets the client read what is on its way.
func (c *conn) Close(reason gateway.Reason, _ []byte) {
	c.mu.Lock()
	if c.reason == "" {
		c.reason = fmt.Sprintf("closed with %d", reason.Code)
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// sever ends the connection for both sides: what was not read is lost.
func (c *conn) sever() {
	c.mu.Lock()
	c.waiting = nil
	if c.reason == "" {
		c.reason = "connection lost"
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// next returns the next line for the client; false: the connection or ctx has ended.
func (c *conn) next(ctx context.Context) ([]byte, bool) {
	for {
		c.mu.Lock()
		if !c.held && len(c.waiting) > 0 {
			line := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.heard = time.Now() // it acknowledges
			c.wake()
			c.mu.Unlock()
			return line, true
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
			continue
		default:
		}
		select {
		case <-changed:
		case <-c.over:
			c.mu.Lock()
			left := len(c.waiting)
			c.mu.Unlock()
			if left == 0 {
				return nil, false
			}
		case <-ctx.Done():
			return nil, false
		}
	}
}

// client is one of one channel, and the log of what it has heard.
type client struct {
	// Fixed at birth.
	world  *world
	name   string
	kind   string
	stream *stream
	random *rand.Rand

	// Owned by live.
	cursor  string
	entered bool // it has been subscribed before
	conns   int
	left    time.Time // for good
	log     []heard
}

// heard is one entry of a log: a message's number, or that messages may be missing.
type heard struct {
	at     time.Time
	number int // 0: none
	cursor string
	told   string // how the client knows
}

func newClient(w *world, name, kind string, s *stream) *client {
	return &client{world: w, name: name, kind: kind, stream: s, random: w.random(name)}
}

// live connects, stays, and comes back, until restless ends. From then on it stays
// where it is until ctx ends, unless it was but passing.
func (c *client) live(ctx, restless context.Context) {
	defer func() { c.left = time.Now() }()
	c.comeAndGo(restless)
	if c.kind == "passing" {
		return
	}
	c.kind = "steady"
	c.comeAndGo(ctx)
}

func (c *client) comeAndGo(ctx context.Context) {
	for ctx.Err() == nil {
		n := c.world.nodes[c.random.IntN(len(c.world.nodes))].current()
		if n == nil || !c.visit(ctx, n) {
			pause(ctx, between(c.random, 50*time.Millisecond, time.Second))
		}
	}
}

// visit is one connection to a node. It reports whether there was one.
func (c *client) visit(ctx context.Context, n *node) bool {
	c.conns++
	conn := newConn(fmt.Sprintf("%s-%d", c.name, c.conns))
	if !n.admit(c.world, conn, c.name) {
		return false
	}
	staying, leave := context.WithTimeout(ctx, c.stays())
	defer leave()
	c.stay(staying, conn)
	switch {
	case conn.ended() && ctx.Err() == nil:
		c.world.note("%s: %s", c.name, conn.why())
		c.world.sees("client " + conn.why())
	case (c.kind == "vanishing" || c.kind == "passing") && c.conns%2 == 0: // its connection lives on, and nobody reads
		c.world.living.Go(func() {
			<-conn.over
		})
	default:
		conn.sever()
	}
	if c.kind != "steady" {
		pause(ctx, between(c.random, 0, 15*time.Second))
	}
	return !conn.ended()
}

func (c *client) stays() time.Duration {
	if c.kind == "steady" || c.kind == "slow" {
		return time.Hour
	}
	return between(c.random, 200*time.Millisecond, 20*time.Second)
}

func (c *conn) ended() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *conn) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

func (c *client) stay(ctx context.Context, conn *conn) {
	ask, _ := json.Marshal(map[string]any{"type": "subscribe", "id": 1, "channel": c.stream.channel, "cursor": c.cursor})
	select {
	case conn.says <- string(ask):
	case <-conn.over:
		return
	case <-ctx.Done():
		return
	}
	for n := 1; ; n++ {
		if c.kind == "slow" && n%150 == 0 {
			pause(ctx, between(c.random, time.Second, 10*time.Second))
		}
		line, more := conn.next(ctx)
		if !more || !c.hear(line) {
			return
		}
	}
}

// hear takes a frame, and reports whether the client stays.
func (c *client) hear(line []byte) bool {
	var f struct {
		Type, Channel, Cursor, Code string
		Data                        json.RawMessage
		Recovered                   *bool
	}
	if err := json.Unmarshal(line, &f); err != nil {
		c.world.blame("%s was sent %q", c.name, line)
		return false
	}
	if f.Channel != "" && f.Channel != c.stream.channel {
		return true // the user's own
	}
	switch f.Type {
	case "subscribed":
		switch {
		case c.cursor == "" && c.entered:
			c.misses("was away without a cursor")
		case c.cursor == "":
			c.log = append(c.log, heard{at: time.Now(), told: "entered"})
		case f.Recovered == nil || !*f.Recovered:
			c.misses("not recovered")
			if epochOf(c.cursor) != epochOf(f.Cursor) {
				c.world.sees("client resumed over a lost epoch")
			}
		default:
			c.world.sees("client recovered")
		}
		c.entered = true
		if c.cursor == "" {
			c.cursor = f.Cursor
		}
	case "gap":
		c.misses("gap")
	case "message":
		number, _ := strconv.Atoi(string(f.Data))
		if c.cursor != "" && epochOf(c.cursor) != epochOf(f.Cursor) {
			c.world.sees("client goes on in another epoch")
		}
		c.log = append(c.log, heard{at: time.Now(), number: number, cursor: f.Cursor})
		c.cursor = f.Cursor
	case "error":
		c.world.note("%s: %s", c.name, line)
		c.world.sees("client was answered " + f.Code)
		return false
	}
	return true
}

func (c *client) misses(how string) {
	c.world.note("%s on %s: %s", c.name, c.stream.channel, how)
	c.world.sees("client told: " + how)
	c.log = append(c.log, heard{at: time.Now(), told: how})
}
