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
)

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

const connHolds = 8

func newConn(name string) *conn {
	return &conn{name: name, says: make(chan string), over: make(chan struct{}), heard: time.Now(), changed: make(chan struct{})}
}

func (c *conn) Read(ctx context.Context) (gateway.Frame, error) {
	select {
	case text := <-c.says:
		c.mu.Lock()
		c.heard = time.Now()
		c.mu.Unlock()
		return gateway.Frame{Data: []byte(text)}, nil
	case <-c.over:
		return gateway.Frame{}, io.EOF
	case <-ctx.Done():
		return gateway.Frame{}, ctx.Err()
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
			lost := c.held || len(c.waiting) == 0
			c.mu.Unlock()
			if lost {
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
	tongue tongue
	stream *stream
	random *rand.Rand

	// Owned by live.
	cursor   string
	entered  bool  // it has been subscribed before
	answered bool  // on this connection
	event    event // of a stream, as far as it has come
	conns    int
	left     time.Time // for good
	log      []heard
}

// heard is one entry of a log: a message's number, or that messages may be missing.
type heard struct {
	at     time.Time
	number int // 0: none
	cursor string
	told   string // how the client knows
}

func newClient(w *world, name, kind string, t tongue, s *stream) *client {
	return &client{world: w, name: name, kind: kind, tongue: t, stream: s, random: w.random(name)}
}

// live connects, stays, and comes back, until restless ends. From then on it stays
// where it is until ctx ends, unless it was but passing. One that is steady stays from
// the first on.
func (c *client) live(ctx, restless context.Context) {
	defer func() { c.left = time.Now() }()
	if c.kind != "steady" {
		c.comeAndGo(restless)
	}
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
	if !n.admit(c, conn) {
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
	say := c.tongue.first(c)
	for n := 1; c.says(ctx, conn, say); n++ {
		if c.kind == "slow" && n%50 == 0 {
			pause(ctx, between(c.random, 2*time.Second, 25*time.Second))
		}
		line, more := conn.next(ctx)
		if !more {
			return
		}
		var stays bool
		if say, stays = c.tongue.hear(c, line); !stays {
			return
		}
	}
}

// says says something, if there is something to say, and reports whether the connection
// lives.
func (c *client) says(ctx context.Context, conn *conn, text string) bool {
	if text == "" {
		return true
	}
	select {
	case conn.says <- text:
		return true
	case <-conn.over:
	case <-ctx.Done():
	}
	return false
}

// parse reads a line, and reports whether it can be read.
func (c *client) parse(line []byte, into any) bool {
	if err := json.Unmarshal(line, into); err != nil {
		c.world.blame("%s was sent %q: %v", c.name, line, err)
		return false
	}
	return true
}

// enters notes that the client has been subscribed, and goes on at a cursor.
func (c *client) enters(cursor string, recovered bool) {
	switch {
	case c.cursor == "" && c.entered:
		c.misses("was away without a cursor")
	case c.cursor == "":
		c.log = append(c.log, heard{at: time.Now(), told: "entered"})
	case !recovered:
		c.misses("not recovered")
		if epochOf(c.cursor) != epochOf(cursor) {
			c.world.sees("client resumed over a lost epoch")
		}
	default:
		c.world.sees("client recovered")
		c.world.sees("client recovered: " + c.tongue.String())
	}
	c.entered = true
	if c.cursor == "" {
		c.cursor = cursor
	}
}

func (c *client) hears(data []byte, cursor string) {
	number, err := strconv.Atoi(string(data))
	if err != nil {
		c.world.blame("%s was sent the message %q", c.name, data)
	}
	if c.cursor != "" && cursor != "" && epochOf(c.cursor) != epochOf(cursor) {
		c.world.sees("client goes on in another epoch")
	}
	c.log = append(c.log, heard{at: time.Now(), number: number, cursor: cursor})
	c.cursor = cursor
}

// refused notes an error that was said, and has the client leave.
func (c *client) refused(code string, line []byte) (stays bool) {
	c.world.note("%s: %s", c.name, line)
	c.world.sees("client was answered " + code)
	return false
}

func (c *client) misses(how string) {
	c.world.note("%s on %s: %s", c.name, c.stream.channel, how)
	c.world.sees("client told: " + how)
	c.world.sees("client told: " + how + ": " + c.tongue.String())
	c.log = append(c.log, heard{at: time.Now(), told: how})
}
