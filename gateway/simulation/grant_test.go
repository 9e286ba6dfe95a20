package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/native"
)

// grantedTongue is the native protocol for clients that subscribe again and again, from their
// last message on or from an earlier one, also while they are still being sent what they have
// missed, and that unsubscribe. Some of them lose their channel when their token for it
// expires. To the others a backend grants the channel, and takes it back, all the time.
type grantedTongue struct{ nativeTongue }

// fickle is the state of a client with a grantedTongue.
type fickle struct {
	// Immutable.
	patron bool // a backend grants it its channel
	kept   bool // and does not take it back
	slow   bool // it does not read for a while, now and then
	flits  bool // it leaves its channel after a moment, and comes back
	guest  bool // it does not subscribe, but asks its backend to be let in
	door   *door

	asks    chan time.Time // when it subscribes to its channel, which it is not on
	changes atomic.Int64   // counts when it begins and ends to be taken off its channel, at once or later
	here    atomic.Bool    // whether it reads from its connection
	isOn    atomic.Bool    // whether it is on its channel
	leaving atomic.Int64   // how many of its unsubscribes have not been answered
	unsure  atomic.Int64   // when it last was not confirmed that it is taken off its channel, in Unix nanoseconds

	// Guarded by mu.
	mu   sync.Mutex
	open map[*conn]struct{} // its connections that a node serves

	// Owned by live.
	id     int               // of its last command
	asked  map[int]view      // what it had at each subscribe that has not been answered
	whole  *view             // what it had when it was granted its channel; nil: it has missed nothing since
	due    time.Time         // of its next command
	pinged time.Time         // when what comes before its ping was answered; zero: it waits for no pong
	silent time.Time         // since when it only listens, until due; zero: it does not
	again  int               // how many times it will subscribe soon, before it only listens
	stalls time.Time         // when it loses patience, unless more of what it has missed has come since stood; zero: it is patient
	stood  string            // its cursor then
	behind string            // the cursor in the reply to its subscribe: so far it is to be sent what it has missed
	lost   bool              // it has lost patience with its last subscribe but one
	late   map[int]time.Time // when it has sent each command that has not been answered
}

func (grantedTongue) String() string { return "granted" }

func (grantedTongue) serve(n *node, c *client, over *conn) {
	hello := gateway.Hello{Protocol: native.Protocol{}, Session: over.name, Principal: gateway.Principal{User: c.name}}
	if !c.fickle.patron {
		hello.Gate = c.fickle.door
	}
	c.fickle.note(over, true)
	n.serve(over, hello)
	c.fickle.note(over, false)
}

func (f *fickle) note(over *conn, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = make(map[*conn]struct{})
	}
	if f.open[over] = struct{}{}; !open {
		delete(f.open, over)
	}
}

// only returns the client's connection, if it has only one.
func (f *fickle) only() *conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	for over := range f.open {
		if len(f.open) == 1 {
			return over
		}
	}
	return nil
}

func (t grantedTongue) first(c *client) string {
	f := &c.fickle
	if f.whole != nil {
		c.view = *f.whole
	}
	f.asked, f.late, f.whole, f.pinged = make(map[int]view), make(map[int]time.Time), nil, time.Time{}
	f.isOn.Store(false)
	f.silent, f.again, f.stalls = time.Time{}, 0, time.Time{}
	f.due = time.Now().Add(time.Second)
	f.leaving.Store(0)
	if c.visits() {
		f.knock(c.random)
		return ""
	}
	switch c.random.IntN(4) {
	case 0:
		if f.patron && c.world.granting.Load() {
			return "" // until its channel is granted, or it is tired of waiting
		}
	case 1:
		return t.subscribe(c, c.given(c.random)) + "\n" + t.ping(c)
	}
	return t.subscribe(c, c.now())
}

// subscribe returns a subscribe from a view on. If the client is on a channel without history,
// it misses nothing, else what it hears until the reply comes again after it.
func (grantedTongue) subscribe(c *client, from view) string {
	c.world.sees("client subscribes again")
	c.fickle.id++
	f := &c.fickle
	f.asked[f.id], f.late[f.id], f.lost = from, time.Now(), false
	if !f.isOn.Load() {
		f.ask(time.Now())
	}
	return toJSON(map[string]any{"type": "subscribe", "id": c.fickle.id, "channel": c.stream.channel, "cursor": from.cursor})
}

// ask tells the client's backend when the client subscribes to its channel.
func (f *fickle) ask(at time.Time) {
	select {
	case f.asks <- at:
	default:
	}
}

// visits reports whether the client is on its channel only by the grants of its backend.
func (c *client) visits() bool { return c.fickle.guest && c.world.granting.Load() }

// knock asks the client's backend for a grant, and waits for it for so long that nothing hides what
// becomes of it.
func (f *fickle) knock(random *rand.Rand) {
	f.ask(time.Now())
	f.waitForGrant(random)
}

func (f *fickle) waitForGrant(random *rand.Rand) {
	f.due = time.Now().Add(grantWithin + between(random, 0, 4*time.Second))
}

func (grantedTongue) unsubscribe(c *client) string {
	c.fickle.id++
	c.fickle.leaving.Add(1)
	c.fickle.late[c.fickle.id] = time.Now()
	return toJSON(map[string]any{"type": "unsubscribe", "id": c.fickle.id, "channel": c.stream.channel})
}

// leaves is called when an unsubscribe is answered.
func (f *fickle) leaves() {
	f.changes.Add(1)
	f.leaving.Add(-1)
}

func (grantedTongue) ping(c *client) string {
	if !c.fickle.pinged.IsZero() {
		return ""
	}
	c.fickle.pinged = time.Now()
	return `{"type":"ping"}`
}

func (t grantedTongue) hear(c *client, line []byte) (say string, stays bool) {
	if line == nil {
		return t.act(c), true
	}
	var said nativeFrame
	if !c.parse(line, &said) {
		return "", false
	}
	f := &c.fickle
	if said.ID != 0 {
		c.checkAnswer(said.ID)
	}
	switch mine := said.Channel == c.stream.channel; {
	case said.Type == "pong":
		c.checkPong()
	case said.Type == "error":
		return t.refused(c, said.ID, said.Code, line)
	case !mine:
	case said.Type == "subscribed" && said.ID != 0:
		t.enter(c, said.ID, said.Cursor, said.Recovered)
		if c.random.IntN(2) == 0 && len(f.asked) == 0 {
			return t.ping(c), true
		}
	case said.Type == "subscribed" && f.guest:
		t.letIn(c)
	case said.Type == "subscribed":
		c.world.sees("client was granted its channel, and subscribes to it")
		f.isOn.Store(true)
		if f.whole == nil {
			was := c.now()
			f.whole = &was
		}
		return t.subscribe(c, *f.whole), true
	case said.Type == "unsubscribed":
		c.world.sees("client has lost its channel: " + said.Reason)
		f.isOn.Store(false)
		f.silent = time.Time{}
		if said.ID != 0 {
			f.leaves()
		}
		if c.visits() {
			f.due = time.Now().Add(between(c.random, 0, 2*time.Second))
			return "", true
		}
		if said.Code != "" && f.patron && c.world.granting.Load() && c.random.IntN(2) == 0 {
			f.waitForGrant(c.random)
			return "", true
		}
		if said.ID != 0 && !c.world.quiet.Load() && c.random.IntN(4) > 0 {
			f.due = time.Now().Add(between(c.random, 5*time.Millisecond, 3*time.Second))
			f.ask(f.due)
			return "", true
		}
		return t.subscribe(c, c.now()), true
	case said.Type == "message" && !f.isOn.Load():
		c.world.blame("%s on %s, which it is not on, was sent %s", c.name, c.stream.channel, line)
	case said.Type == "message":
		c.checkEnd()
		_, stays := t.take(c, &said, line)
		return t.act(c), stays
	default:
		return t.take(c, &said, line)
	}
	return "", true
}

// enter makes what the client had at a subscribe, now that it is answered, the view that
// messages continue.
func (grantedTongue) enter(c *client, id int, cursor string, recovered bool) {
	f := &c.fickle
	from, asked := f.asked[id]
	if !asked {
		c.world.blame("%s has an answer to %d, which it has not asked", c.name, id)
	}
	delete(f.asked, id)
	if from.cursor != "" || !f.isOn.Load() || f.whole != nil {
		c.view = from
		c.enters(cursor, recovered)
	}
	f.isOn.Store(true)
	f.whole, f.behind = nil, cursor
	if f.stalls = (time.Time{}); !f.lost && c.kind != "slow" && c.random.IntN(8) > 0 {
		c.watch()
	}
}

// watch has the client see before long whether more of what it has missed has come, if there is more.
func (c *client) watch() {
	f := &c.fickle
	f.stood, f.stalls = c.cursor, time.Time{}
	if c.isBehind() && f.isOn.Load() && !c.world.quiet.Load() {
		f.stalls = time.Now().Add(between(c.random, 10*time.Millisecond, 100*time.Millisecond))
	}
}

// isBehind reports whether the client is still to be sent messages from before the reply to its last
// subscribe.
func (c *client) isBehind() bool {
	has, _ := strconv.Atoi(offsetOf(c.cursor))
	wants, _ := strconv.Atoi(offsetOf(c.fickle.behind))
	return has < wants || epochOf(c.cursor) != epochOf(c.fickle.behind)
}

// letIn is called when a guest has been granted its channel. It has missed what came before.
func (grantedTongue) letIn(c *client) {
	f := &c.fickle
	c.cursor = ""
	if c.entered {
		c.misses("was not on its channel")
	} else {
		c.record(heard{told: "entered"})
	}
	c.entered, c.on = true, c.conn
	f.isOn.Store(true)
	f.due = time.Now().Add(between(c.random, 0, 3*time.Second))
}

// refused is called for the error that answers a command. The client disconnects if it
// has needed the subscribe, unless it waits for its channel to be granted.
func (t grantedTongue) refused(c *client, id int, code string, line []byte) (say string, stays bool) {
	f := &c.fickle
	if _, asked := f.asked[id]; !asked {
		f.leaves()
		return "", true
	}
	delete(f.asked, id)
	switch {
	case len(f.asked) > 0:
		return "", true
	case f.isOn.Load() && f.whole == nil:
		c.world.sees("client stays on its channel after a subscribe that failed")
		f.listen()
		return "", true
	case !f.isOn.Load() && f.patron && c.world.granting.Load() && c.random.IntN(8) > 0:
		c.world.sees("client waits for a grant after a subscribe that failed")
		f.waitForGrant(c.random)
		return "", true
	}
	return "", c.refused(code, line)
}

// act returns commands, now and then.
func (t grantedTongue) act(c *client) string {
	f := &c.fickle
	if !f.stalls.IsZero() && !time.Now().Before(f.stalls) {
		stood := f.stood == c.cursor
		if c.watch(); stood && !f.stalls.IsZero() && len(f.asked) == 0 && f.leaving.Load() == 0 {
			return t.losePatience(c)
		}
	}
	if time.Now().Before(f.due) {
		return ""
	}
	if !c.checkSilent() {
		f.due = time.Now().Add(time.Second)
		return ""
	}
	switch {
	case c.visits() && f.isOn.Load():
		f.due = time.Now().Add(answeredWithin)
		return t.unsubscribe(c)
	case c.visits():
		f.knock(c.random)
		return ""
	case f.again > 0 && f.isOn.Load() && !c.world.quiet.Load():
		if f.again--; f.again == 0 {
			f.listen()
			if c.random.IntN(2) == 0 {
				return t.subscribe(c, c.given(c.random))
			}
			return t.subscribe(c, c.recent(c.random))
		}
		f.due = time.Now().Add(between(c.random, 0, 200*time.Millisecond))
		return t.subscribe(c, c.given(c.random))
	case !f.isOn.Load() && len(f.asked) == 0:
		f.due = time.Now().Add(time.Second)
		if c.random.IntN(2) == 0 {
			return t.subscribe(c, c.given(c.random))
		}
		return t.subscribe(c, c.now())
	case len(f.asked) > 0 || c.world.quiet.Load():
		f.due = time.Now().Add(time.Second)
		return ""
	}
	f.due = time.Now().Add(between(c.random, 200*time.Millisecond, 10*time.Second))
	if c.random.IntN(3) == 0 {
		f.due = time.Now() // while it is sent what it has missed
	}
	if f.flits {
		f.due = time.Now().Add(between(c.random, 100*time.Millisecond, 2*time.Second))
		if c.random.IntN(2) == 0 {
			return t.unsubscribe(c)
		}
	}
	switch c.random.IntN(12) {
	case 6, 8, 9:
		f.again, f.due = 1+c.random.IntN(3), time.Now().Add(between(c.random, 0, 200*time.Millisecond))
		return t.subscribe(c, c.given(c.random))
	case 7, 10:
		return t.subscribe(c, c.given(c.random)) + "\n" + t.ping(c)
	case 0:
		return t.subscribe(c, c.now())
	case 1:
		return t.subscribe(c, c.earlier(c.random))
	case 2:
		f.listen()
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.subscribe(c, c.now())
	case 3:
		f.listen()
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.subscribe(c, c.earlier(c.random))
	case 4, 11:
		return t.unsubscribe(c)
	case 5:
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.unsubscribe(c)
	}
	return t.ping(c)
}

// listen has the client only listen.
func (f *fickle) listen() { f.silent, f.due = time.Now(), time.Now().Add(stillWithin) }

// losePatience returns a subscribe of a client whose messages do not come. It then only listens.
func (t grantedTongue) losePatience(c *client) string {
	f := &c.fickle
	c.world.sees("client subscribes again, since what it has missed does not come")
	f.again, f.stalls = 0, time.Time{}
	f.listen()
	from := c.fresh(c.random)
	switch c.random.IntN(4) {
	case 0:
		from = c.now()
	case 1:
		from = c.given(c.random)
	}
	defer func() { f.lost = true }()
	return t.subscribe(c, from)
}

// pongWithin is how soon a ping is answered, whatever the client is sent meanwhile.
const pongWithin = 20 * time.Millisecond

func (c *client) checkPong() {
	f := &c.fickle
	if took := time.Since(f.pinged); took > pongWithin && c.reads(f.pinged) {
		c.world.blame("%s was answered after %v", c.name, took)
	}
	f.pinged = time.Time{}
}

// answeredWithin is how soon each command is answered.
const answeredWithin = 10 * time.Second

// checkAnswer checks how long a command has taken that is answered now. From now on, the answer to
// a ping after it is due.
func (c *client) checkAnswer(id int) {
	f := &c.fickle
	took := time.Since(f.late[id])
	delete(f.late, id)
	if took > answeredWithin && c.reads(time.Now().Add(-took)) {
		c.world.blame("%s was answered after %v", c.name, took)
	}
	if !f.pinged.IsZero() {
		f.pinged = time.Now()
	}
}

// checkSilent returns true once a client that only listens has heard what others on its node have,
// for which there is as much time as for word of a loss.
func (c *client) checkSilent() (done bool) {
	f := &c.fickle
	if f.silent.IsZero() {
		return true
	}
	given := c.conn.node.given(c.stream, f.silent, time.Now().Add(-time.Second))
	late, hears := time.Since(f.silent) > wordWithin+stillWithin, c.lastAt().After(f.silent.Add(time.Second))
	switch {
	case given <= c.last() && (hears || late):
		c.world.sees("client that only listens has heard all")
	case !late:
		return false
	case c.reads(f.silent):
		c.world.blame("%s has heard nothing since %.3f on %s, where %d was heard by others", c.name, c.since(f.silent), c.stream.channel, given)
	}
	f.silent = time.Time{}
	return true
}

// stillWithin is how soon a client that only listens is usually told what others are.
const stillWithin = 5 * time.Second

// last returns the number of the last message in the log, and lastAt when it was heard.
func (v view) last() int         { return v.lastHeard().number }
func (v view) lastAt() time.Time { return v.lastHeard().at }

func (v view) lastHeard() heard {
	for _, h := range slices.Backward(v.log) {
		if h.number > 0 {
			return h
		}
	}
	return heard{}
}

// checkEnd checks that a message does not come after the end of the subscription.
func (c *client) checkEnd() {
	end := c.fickle.door.end(c.conn.name)
	if late := time.Since(end); !end.IsZero() && late > endsWithin && c.reads(end) {
		c.world.blame("%s was sent a message %v after its token had expired", c.name, late)
	}
}

// endsWithin is how soon a subscription ends whose token has expired.
const endsWithin = 3 * time.Second

// reads reports whether the client has read all the time since from, and could.
func (c *client) reads(from time.Time) bool { return c.kind != "slow" && c.conn.reads(from) }

func (c *conn) reads(from time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.held && !c.heldUntil.After(from)
}

// longestToken is how long a token is valid at most, if it expires.
const longestToken = 20 * time.Second

// door gives a client tokens for its channel, half of which expire soon.
type door struct {
	world *world

	mu     sync.Mutex
	random *rand.Rand
	until  map[string]time.Time // when the latest token expires, by session; zero: never
}

func (*door) SignIn(context.Context, string, gateway.Auth) (gateway.Principal, error) {
	return gateway.Principal{}, nil
}

func (d *door) Admit(_ context.Context, session string, _ *gateway.Principal, _ gateway.Subscribe) (gateway.Admission, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	until := time.Time{}
	if d.random.IntN(2) == 0 && !d.world.quiet.Load() {
		until = time.Now().Add(between(d.random, time.Second, longestToken))
	}
	d.until[session] = until
	return gateway.Admission{Until: until}, nil
}

func (d *door) end(session string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until[session]
}

// addFickle adds clients with a grantedTongue, and channels for some of them.
func (w *world) addFickle(random *rand.Rand) {
	own, lone := newStream(w, "kept:c", 120*time.Millisecond), newStream(w, "kept:d", 800*time.Millisecond) // often, a node has no client on them
	own.fill(2500)
	lone.fill(1100)
	for i, kind := range []string{"steady", "steady", "slow", "vanishing", "steady", "steady", "wandering", "steady", "steady", "passing"} {
		c := newClient(w, fmt.Sprintf("granted%d-%s", i, kind), kind, grantedTongue{}, w.streams[random.IntN(len(w.streams))])
		switch {
		case i == 1 || i == 8:
			c.stream = lone
		case i%2 == 0 || i > 4:
			c.stream = own
		}
		c.fickle.patron, c.fickle.kept, c.fickle.slow = i < 4 || i > 7, i < 3 || i > 7, kind == "slow"
		c.fickle.asks = make(chan time.Time, 1)
		c.fickle.door = &door{world: w, random: w.random(c.name + "'s door"), until: make(map[string]time.Time)}
		w.clients = append(w.clients, c)
	}
	for i := range 3 { // alone, too: with each of these a node has a channel no more
		s := newStream(w, fmt.Sprintf("live:nomad%d", i), 2*time.Second)
		w.streams, w.clients = append(w.streams, s), append(w.clients, newClient(w, fmt.Sprintf("nomad%d", i), "moving", nativeTongue{}, s))
	}
	for i := range 4 { // alone on their channels: nothing of these is on their node before they subscribe
		s := newStream(w, fmt.Sprintf("live:lone%d", i), 2*time.Second)
		c := newClient(w, fmt.Sprintf("lone%d", i), "steady", grantedTongue{}, s)
		c.fickle.patron, c.fickle.kept, c.fickle.guest, c.fickle.flits = true, true, i > 1, i < 2
		c.fickle.asks = make(chan time.Time, 1)
		c.fickle.door = &door{world: w, random: w.random(c.name + "'s door"), until: make(map[string]time.Time)}
		w.streams, w.clients = append(w.streams, s), append(w.clients, c)
	}
	w.streams = append(w.streams, own, lone)
}

// patronize grants a client its channel, and takes it back, until restless ends. Then it grants
// it. It does several things in a row or at once, and then waits, so that nothing hides what has
// come of them.
func (w *world) patronize(ctx, restless context.Context, c *client) {
	random := w.random(c.name + "'s backend")
	for restless.Err() == nil {
		if at, asks := c.fickle.awaitAsk(restless, between(random, 50*time.Millisecond, 4*time.Second)); asks {
			pause(restless, time.Until(at.Add(between(random, -3*time.Millisecond, 2*time.Millisecond))))
		}
		acts := []func(context.Context) bool{w.favour(c, random)}
		switch p, ok := c.stream.some(random, 0, math.MaxInt); random.IntN(4) {
		case 0:
			acts = append(acts, w.favour(c, random))
		case 1:
			if n := w.nodeFor(c, random); ok {
				acts = []func(context.Context) bool{
					func(ctx context.Context) bool {
						return n.give(ctx, c, gateway.Grant{Channel: c.stream.channel, Cursor: p.cursor})
					},
					func(ctx context.Context) bool { return n.give(ctx, c, gateway.Grant{Channel: c.stream.channel}) },
				}
			}
		}
		var acting sync.WaitGroup
		var confirmed atomic.Bool
		for _, act := range acts {
			acting.Go(func() {
				if act(ctx) {
					confirmed.Store(true)
				}
			})
		}
		acting.Wait()
		if random.IntN(8) > 0 && confirmed.Load() {
			pause(restless, time.Second)
			for waited := 0; waited < 10 && !c.fickle.isOn.Load() && pause(restless, time.Second); waited++ {
			}
		}
	}
	pause(ctx, 5*time.Second) // what was taken back may be on its way
	for !w.nodeFor(c, random).give(ctx, c, gateway.Grant{Channel: c.stream.channel}) && pause(ctx, time.Second) {
	}
}

// awaitAsk waits until the client says when it subscribes to its channel, for at most atMost.
func (f *fickle) awaitAsk(ctx context.Context, atMost time.Duration) (at time.Time, asks bool) {
	ctx, end := context.WithTimeout(ctx, atMost)
	defer end()
	select {
	case at := <-f.asks:
		return at, true
	case <-ctx.Done():
		return at, false
	}
}

// nodeFor returns a node, often the one that the client is on, or nil.
func (w *world) nodeFor(c *client, random *rand.Rand) *node {
	if over := c.fickle.only(); over != nil && random.IntN(2) == 0 {
		return over.node
	}
	return w.nodes[random.IntN(len(w.nodes))].current()
}

// favour returns something that a backend does for a client. It returns true if it is confirmed.
func (w *world) favour(c *client, random *rand.Rand) func(context.Context) bool {
	n, grant := w.nodeFor(c, random), gateway.Grant{Channel: c.stream.channel}
	switch what := random.IntN(8); {
	case what < 2 && !c.fickle.kept:
		return func(ctx context.Context) bool { return n.takeBack(ctx, c) }
	case what == 2 && !c.fickle.kept:
		grant.Until = time.Now().Add(between(random, time.Second, 20*time.Second))
	case what == 3 || what == 2:
		if p, ok := c.stream.some(random, 0, math.MaxInt); ok {
			grant.Cursor = p.cursor
		}
	}
	return func(ctx context.Context) bool { return n.give(ctx, c, grant) }
}

// give grants the client its channel, and reports whether the node confirms that. A nil node
// does not.
func (n *node) give(ctx context.Context, c *client, grant gateway.Grant) bool {
	if !grant.Until.IsZero() {
		c.fickle.changes.Add(1)
		defer c.fickle.changes.Add(1)
	}
	only, changes := c.fickle.only(), c.fickle.changes.Load()
	reached, err := n.reach(ctx, c, "granted", func(ctx context.Context, of gateway.Whose) (int, error) {
		return n.Users.Subscribe(ctx, of, grant)
	})
	if reached == 1 && only != nil && grant.Until.IsZero() && !c.fickle.slow {
		c.world.living.Go(func() { n.checkGrant(ctx, c, only, changes) })
	}
	if err != nil && !grant.Until.IsZero() {
		c.fickle.unsure.Store(time.Now().UnixNano())
	}
	return err == nil
}

// grantWithin is how soon a client is told of a grant that has reached its session.
const grantWithin = 8 * time.Second

// checkGrant checks that the client hears of a grant that has reached its only session, and that
// it lasts.
func (n *node) checkGrant(ctx context.Context, c *client, over *conn, changes int64) {
	f, began := &c.fickle, time.Now()
	same := func() bool {
		sure := time.Since(time.Unix(0, f.unsure.Load())) > arrivesWithin
		return f.only() == over && f.changes.Load() == changes && f.leaving.Load() == 0 && sure && over.reads(began) && f.here.Load()
	}
	if !pause(ctx, 2*time.Second) {
		return
	}
	for !f.isOn.Load() {
		if !same() || !pause(ctx, time.Second) {
			return
		}
		if time.Since(began) > grantWithin {
			c.world.blame("%s was granted %s at %.3f, and has not been told", over.name, c.stream.channel, c.since(began))
			return
		}
	}
	sessions, err := n.Users.Sessions(ctx, c.name)
	if err != nil || !same() {
		return
	}
	c.world.sees("grant checked")
	for _, s := range sessions {
		if s.Session == over.name && !slices.Contains(s.Channels, c.stream.channel) {
			c.world.blame("%s was granted %s, but is on %v", s.Session, c.stream.channel, s.Channels)
		}
	}
}

// arrivesWithin is how long what a node has been asked for may be on its way to others.
const arrivesWithin = time.Minute

// takeBack removes the client from its channel, and reports whether the node confirms that.
func (n *node) takeBack(ctx context.Context, c *client) bool {
	c.fickle.changes.Add(1)
	defer c.fickle.changes.Add(1)
	_, err := n.reach(ctx, c, "taken back", func(ctx context.Context, of gateway.Whose) (int, error) {
		return n.Users.Unsubscribe(ctx, of, c.stream.channel)
	})
	if err != nil {
		c.fickle.unsure.Store(time.Now().UnixNano())
	}
	return err == nil
}

var errNoNode = errors.New("there is no node")

func (n *node) reach(ctx context.Context, c *client, what string, do func(context.Context, gateway.Whose) (int, error)) (reached int, err error) {
	if n == nil {
		return 0, errNoNode
	}
	ctx, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	reached, err = do(ctx, gateway.Whose{User: c.name})
	if err != nil {
		c.world.sees("not " + what + ": " + string(gateway.ErrorOf(err).Code))
	}
	c.world.add(what, reached)
	return reached, err
}
