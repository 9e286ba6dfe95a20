package simulation_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidegate/gateway"
)

// conn is a client's connection. It buffers up to connHolds lines that the client has not
// read, and as many that the node has not.
type conn struct {
	name string
	node *node // that serves it; nil if none does
	says chan string
	over chan struct{} // closed when the connection has ended
	once sync.Once

	// Guarded by mu.
	mu        sync.Mutex
	waiting   [][]byte // lines for the client
	heard     time.Time
	held      bool          // whether lines to the client are held back
	heldUntil time.Time     // when they last were
	changed   chan struct{} // closed and replaced at each change
	reason    string        // why the connection has ended
	end       time.Time     // when it has
}

const connHolds = 8

func newConn(name string) *conn {
	return &conn{name: name, says: make(chan string, connHolds), over: make(chan struct{}), heard: time.Now(), changed: make(chan struct{})}
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
	if c.held && !held {
		c.heldUntil = time.Now()
	}
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
		c.reason, c.end = fmt.Sprintf("closed with %d", reason.Code), time.Now()
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// sever resets the connection for both sides. Unread lines are lost.
func (c *conn) sever() {
	c.mu.Lock()
	c.waiting = nil
	if c.reason == "" {
		c.reason, c.end = "connection lost", time.Now()
	}
	c.mu.Unlock()
	c.once.Do(func() { close(c.over) })
}

// next waits for the next line for the client. It returns false if the connection or ctx has
// ended.
func (c *conn) next(ctx context.Context) ([]byte, bool) {
	for {
		line, changed := c.atHand()
		if line != nil {
			return line, true
		}
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

// atHand returns the next line for the client, if it can be read, or a channel that is closed at the
// next change.
func (c *conn) atHand() (line []byte, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held || len(c.waiting) == 0 {
		return nil, c.changed
	}
	line = c.waiting[0]
	c.waiting = c.waiting[1:]
	c.heard = time.Now() // reading counts as an acknowledgement
	c.wake()
	return line, nil
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
	view
	all      []heard     // all that it has ever heard
	answered bool        // whether its subscribe was answered on this connection
	event    event       // the server-sent event that it is receiving
	conns    int         // number of connections so far
	left     time.Time   // when it left for good
	conn     *conn       // the last
	on       *conn       // the last on which it was subscribed
	gone     time.Time   // when the one ended on which it was subscribed before conn; zero: there was none
	unborn   []time.Time // when it has resumed with a cursor from before the first message
	fickle   fickle      // see grantedTongue
}

// view is what a client has of its channel.
type view struct {
	cursor  string // where it resumes
	entered bool   // whether it has been subscribed before
	log     []heard
}

// heard is an entry of a client's log: it has received a message, or has been told that
// messages may be missing.
type heard struct {
	at     time.Time
	number int // of the message; 0 if it was told of a loss
	cursor string
	told   string    // how the client knows of the loss
	known  time.Time // since when it knows, if not only since at
	resume string    // the client's cursor after it
}

// earlier returns the view at an earlier time, with a cursor, if there was one.
func (v view) earlier(random *rand.Rand) view {
	back := 1 + random.IntN(30)
	if random.IntN(2) == 0 {
		back = 1 + random.IntN(deep)
	}
	for end := max(1, len(v.log)-back); end < len(v.log); end++ {
		if from := v.log[end-1].resume; from != "" {
			return view{cursor: from, entered: true, log: slices.Clip(v.log[:end])}
		}
	}
	return v.now()
}

// recent returns the view of a moment ago.
func (v view) recent(random *rand.Rand) view {
	end := max(1, len(v.log)-6-random.IntN(25))
	if end < len(v.log) && v.log[end-1].resume != "" {
		return view{cursor: v.log[end-1].resume, entered: true, log: slices.Clip(v.log[:end])}
	}
	return v.now()
}

// given is the view of a client that comes with the cursor of some message, be it from before its time.
func (c *client) given(random *rand.Rand) view {
	return c.from(c.stream.some(random, 0, math.MaxInt))
}

// fresh is the view of a client that has loaded the state of a moment ago elsewhere, with a cursor.
func (c *client) fresh(random *rand.Rand) view { return c.from(c.stream.some(random, 8, 40)) }

// from is the view of a client that begins after a message, if that has a cursor.
func (c *client) from(p publication, ok bool) view {
	if !ok {
		return c.now()
	}
	return view{cursor: p.cursor, entered: true, log: []heard{{at: p.begun, told: "given a cursor", resume: p.cursor}}}
}

// deep is how many entries of its log a client goes back at most. What is so old a node no
// longer has at hand.
const deep = 700

// now returns a copy of the view that does not change.
func (v view) now() view {
	v.log = slices.Clip(v.log)
	return v
}

func newClient(w *world, name, kind string, t tongue, s *stream) *client {
	return &client{world: w, name: name, kind: kind, tongue: t, stream: s, random: w.random(name)}
}

// live connects, disconnects and reconnects until restless ends. From then on, the client
// stays connected until ctx ends, or leaves if it is "passing". A "steady" client stays
// connected from the beginning.
func (c *client) live(ctx, restless context.Context) {
	defer func() {
		c.left = time.Now()
		if whole := c.fickle.whole; whole != nil {
			c.view = *whole // what came after it would have come again
		}
	}()
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
	if (c.tongue != haltingTongue{}) && c.kind != "slow" && c.random.IntN(8) == 0 { // they would never catch up
		c.view = c.earlier(c.random)
	}
	conn := newConn(fmt.Sprintf("%s-%d", c.name, c.conns))
	if !n.admit(c, conn) {
		return false
	}
	if c.on != nil {
		c.gone = c.on.endedAt()
	}
	c.conn = conn
	c.resumes()
	staying, leave := context.WithTimeout(ctx, c.stays())
	defer leave()
	c.fickle.here.Store(true)
	c.stay(staying, conn)
	c.fickle.here.Store(false)
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
	if c.kind != "steady" && c.kind != "moving" {
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

// endedAt returns when the connection has ended, or the present if it has not.
func (c *conn) endedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.end, time.Now())
}

func (c *conn) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

func (c *client) stay(ctx context.Context, conn *conn) {
	say := c.tongue.first(c)
	for n := 1; c.saysAll(ctx, conn, say); n++ {
		if c.kind == "slow" && n%50 == 0 {
			pause(ctx, between(c.random, 2*time.Second, 25*time.Second))
		}
		line, more := c.nextLine(ctx, conn)
		if !more {
			return
		}
		var stays bool
		if say, stays = c.tongue.hear(c, line); !stays {
			return
		}
	}
}

// nextLine waits for the next line for the client, or until it is to do something of its own
// accord. Then the line is nil.
func (c *client) nextLine(ctx context.Context, conn *conn) (line []byte, more bool) {
	due := c.fickle.due
	if at := c.fickle.stalls; !at.IsZero() && at.Before(due) {
		due = at
	}
	if due.IsZero() {
		return conn.next(ctx)
	}
	if line, _ := conn.atHand(); line != nil {
		return line, true
	}
	waiting, end := context.WithDeadline(ctx, due)
	defer end()
	line, more = conn.next(waiting)
	return line, more || ctx.Err() == nil && waiting.Err() != nil && !conn.ended()
}

// saysAll sends each line of a text, and reports whether the connection is alive.
func (c *client) saysAll(ctx context.Context, conn *conn, text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if !c.says(ctx, conn, line) {
			return false
		}
	}
	return true
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
		c.log[len(c.log)-1].known = c.gone
	case c.cursor == "":
		c.record(heard{told: "entered"})
	case !recovered:
		c.misses("not recovered")
		if epochOf(c.cursor) != epochOf(cursor) {
			c.world.sees("client resumed over a lost epoch")
		}
	default:
		c.world.sees("client recovered")
		c.world.sees("client recovered: " + c.tongue.String())
	}
	c.entered, c.on = true, c.conn
	if c.cursor == "" {
		c.cursor = cursor
	}
}

// resumes is called when the client resumes from its cursor.
func (c *client) resumes() {
	if offsetOf(c.cursor) == "0" {
		c.unborn = append(c.unborn, time.Now())
	}
}

// record adds an entry to the log.
func (c *client) record(h heard) {
	h.at, h.resume = time.Now(), c.cursor
	c.log, c.all = append(c.log, h), append(c.all, h)
}

// hears records a message. From now on, the client resumes at its cursor.
func (c *client) hears(data []byte, cursor string) { c.hearsBefore(data, cursor, cursor) }

// hearsBefore records a message after which the client resumes at another cursor.
func (c *client) hearsBefore(data []byte, cursor, resume string) {
	number, err := strconv.Atoi(string(data))
	if err != nil {
		c.world.blame("%s was sent the message %q", c.name, data)
	}
	if c.cursor != "" && cursor != "" && epochOf(c.cursor) != epochOf(cursor) {
		c.world.sees("client goes on in another epoch")
	}
	c.cursor = resume
	c.record(heard{number: number, cursor: cursor})
	c.conn.node.gives(c.stream, number)
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
	c.record(heard{told: how})
}
