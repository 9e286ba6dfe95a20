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

// conn is a client's connection. It buffers up to connHolds lines that the client has not
// read.
type conn struct {
	name string
	says chan string
	over chan struct{} // closed when the connection has ended
	once sync.Once

	// Guarded by mu.
	mu      sync.Mutex
	waiting [][]byte // lines for the client
	heard   time.Time
	held    bool          // whether lines to the client are held back
	changed chan struct{} // closed and replaced at each change
	reason  string        // why the connection has ended
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

// put buffers the frames for which there is room. It returns the others, and a channel that is
// closed at the next change.
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

// wake wakes those who wait for a change. The caller must hold mu.
func (c *conn) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// hold starts or stops holding back lines to the client.
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

// Close closes the connection. The client can still read the lines that are buffered.
func (c *conn) Close(reason gateway.Reason, _ []byte) {
	c.mu.Lock()
	if c.reason == "" {
		c.reason = fmt.Sprintf("closed with %d", reason.Code)
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// sever resets the connection for both sides. Unread lines are lost.
func (c *conn) sever() {
	c.mu.Lock()
	c.waiting = nil
	if c.reason == "" {
		c.reason = "connection lost"
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// next waits for the next line for the client. It returns false if the connection or ctx has
// ended.
func (c *conn) next(ctx context.Context) ([]byte, bool) {
	for {
		c.mu.Lock()
		if !c.held && len(c.waiting) > 0 {
			line := c.waiting[0]
			c.waiting = c.waiting[1:]
			c.heard = time.Now() // reading counts as an acknowledgement
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

// client is a client that subscribes to one channel and logs what it receives.
type client struct {
	// Immutable.
	world  *world
	name   string
	kind   string
	tongue tongue
	stream *stream
	random *rand.Rand

	// Owned by live.
	cursor   string
	entered  bool      // whether it has been subscribed before
	answered bool      // whether its subscribe was answered on this connection
	between  [][]byte  // lines since a subscribe that has not been answered; nil: there is none. See grantedTongue
	event    event     // the server-sent event that it is receiving
	conns    int       // number of connections so far
	left     time.Time // when it left for good
	log      []heard
}

// heard is an entry of a client's log: it has received a message, or has been told that
// messages may be missing.
type heard struct {
	at     time.Time
	number int // of the message; 0 if it was told of a loss
	cursor string
	told   string // how the client knows of the loss
}

func newClient(w *world, name, kind string, t tongue, s *stream) *client {
	return &client{world: w, name: name, kind: kind, tongue: t, stream: s, random: w.random(name)}
}

// live connects, disconnects and reconnects until restless ends. From then on, the client
// stays connected until ctx ends, or leaves if it is "passing". A "steady" client stays
// connected from the beginning.
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

// visit connects to a node and stays for a while. It returns true if it leaves the connection
// open, and false if the connection has ended or was not accepted.
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
	case (c.kind == "vanishing" || c.kind == "passing") && c.conns%2 == 0: // the connection stays open, and the client stops reading
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

// says sends a text unless it is empty, and reports whether the connection is alive.
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

// parse decodes a line of JSON, and reports whether that succeeded.
func (c *client) parse(line []byte, into any) bool {
	if err := json.Unmarshal(line, into); err != nil {
		c.world.blame("%s was sent %q: %v", c.name, line, err)
		return false
	}
	return true
}

// enters records that the client is subscribed, and continues at a cursor.
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

// refused records an error reply. It returns false, which makes the client disconnect.
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
