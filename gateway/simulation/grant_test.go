package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/native"
)

// grantedTongue is the native protocol for clients that subscribe again and again, from their
// last message on or from an earlier one, also while they are still being sent what they have
// missed, and that unsubscribe. Half of them lose their channel when their token for it
// expires. To the others a backend grants the channel, and takes it back, all the time.
type grantedTongue struct{ nativeTongue }

// fickle is the state of a client with a grantedTongue.
type fickle struct {
	// Immutable.
	patron bool // a backend grants it its channel
	kept   bool // and does not take it back
	door   *door

	changes atomic.Int64 // counts when it begins and ends to be taken off its channel, at once or later
	leaving atomic.Int64 // how many of its unsubscribes have not been answered
	unsure  atomic.Int64 // when it last was not confirmed that it is taken off its channel, in Unix nanoseconds

	// Guarded by mu.
	mu   sync.Mutex
	open map[*conn]struct{} // its connections that a node serves

	// Owned by live.
	id     int          // of its last command
	asked  map[int]view // what it had at each subscribe that has not been answered
	on     bool         // whether it is on its channel
	whole  *view        // what it had when it was granted its channel; nil: it has missed nothing since
	due    time.Time    // of its next command
	pinged time.Time    // zero: it waits for no pong
	vain   time.Time    // when a subscribe has failed, after which it is still on its channel; zero: none
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
	f.asked, f.on, f.whole, f.pinged, f.vain = make(map[int]view), false, nil, time.Time{}, time.Time{}
	f.due = time.Now().Add(time.Second)
	f.leaving.Store(0)
	return t.subscribe(c, c.now())
}

// subscribe returns a subscribe from a view on. If the client is on a channel without history,
// it misses nothing, else what it hears until the reply comes again after it.
func (grantedTongue) subscribe(c *client, from view) string {
	c.world.sees("client subscribes again")
	c.fickle.id++
	c.fickle.asked[c.fickle.id] = from
	return toJSON(map[string]any{"type": "subscribe", "id": c.fickle.id, "channel": c.stream.channel, "cursor": from.cursor})
}

func (grantedTongue) unsubscribe(c *client) string {
	c.fickle.id++
	c.fickle.leaving.Add(1)
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
	var said struct {
		Type, Channel, Cursor, Code, Reason string
		ID                                  int
		Recovered                           bool
	}
	if !c.parse(line, &said) {
		return "", false
	}
	f := &c.fickle
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
	case said.Type == "subscribed":
		c.world.sees("client was granted its channel, and subscribes to it")
		f.on = true
		if f.whole == nil {
			was := c.now()
			f.whole = &was
		}
		return t.subscribe(c, *f.whole), true
	case said.Type == "unsubscribed":
		c.world.sees("client has lost its channel: " + said.Reason)
		f.on, f.vain = false, time.Time{}
		if said.ID != 0 {
			f.leaves()
		}
		if said.Code != "" && f.patron && c.world.granting.Load() && c.random.IntN(2) == 0 {
			return "", true // it waits for the next grant
		}
		return t.subscribe(c, c.now()), true
	case said.Type == "message" && !f.on:
		c.world.blame("%s on %s, which it is not on, was sent %s", c.name, c.stream.channel, line)
	case said.Type == "message":
		c.checkEnd()
		_, stays := t.nativeTongue.hear(c, line)
		return t.act(c), stays
	default:
		return t.nativeTongue.hear(c, line)
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
	if from.cursor != "" || !f.on || f.whole != nil {
		c.view = from
		c.enters(cursor, recovered)
	}
	f.on, f.whole, f.vain = true, nil, time.Time{}
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
	case f.on && f.whole == nil:
		c.world.sees("client stays on its channel after a subscribe that failed")
		f.vain, f.due = time.Now(), time.Now().Add(stillWithin)
		return "", true
	case !f.on && f.patron && c.world.granting.Load() && c.random.IntN(2) == 0:
		c.world.sees("client waits for a grant after a subscribe that failed")
		return "", true
	}
	return "", c.refused(code, line)
}

// act returns commands, now and then.
func (t grantedTongue) act(c *client) string {
	f := &c.fickle
	if time.Now().Before(f.due) {
		return ""
	}
	c.checkVain()
	if len(f.asked) > 0 || !f.on && f.patron || c.world.quiet.Load() {
		f.due = time.Now().Add(time.Second)
		return ""
	}
	f.due = time.Now().Add(between(c.random, 200*time.Millisecond, 10*time.Second))
	if c.random.IntN(3) == 0 {
		f.due = time.Now() // while it is sent what it has missed
	}
	switch c.random.IntN(7) {
	case 0:
		return t.subscribe(c, c.now())
	case 1:
		return t.subscribe(c, c.earlier(c.random))
	case 2:
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.subscribe(c, c.now())
	case 3:
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.subscribe(c, c.earlier(c.random))
	case 4:
		return t.unsubscribe(c)
	case 5:
		return t.subscribe(c, c.earlier(c.random)) + "\n" + t.unsubscribe(c)
	}
	return t.ping(c)
}

// pongWithin is how soon a ping is answered, whatever the client is sent meanwhile.
const pongWithin = time.Second

func (c *client) checkPong() {
	f := &c.fickle
	if took := time.Since(f.pinged); took > pongWithin && c.reads(f.pinged) {
		c.world.blame("%s was answered after %v", c.name, took)
	}
	f.pinged = time.Time{}
}

// stillWithin is how long after a subscribe that has failed a client must have heard what others
// on its node have.
const stillWithin = 5 * time.Second

// checkVain checks that a subscribe that has failed has not taken the client off its channel.
func (c *client) checkVain() {
	f := &c.fickle
	if f.vain.IsZero() {
		return
	}
	given := c.conn.node.given(c.stream, f.vain.Add(time.Second), time.Now().Add(-time.Second))
	if given > c.last() && c.reads(f.vain) {
		c.world.blame("%s has heard nothing since %.3f on %s, where %d was heard by others", c.name, c.since(f.vain), c.stream.channel, given)
	}
	f.vain = time.Time{}
}

// last returns the number of the last message in the log.
func (v view) last() int {
	for _, h := range slices.Backward(v.log) {
		if h.number > 0 {
			return h.number
		}
	}
	return 0
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
func (c *client) reads(from time.Time) bool {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	return c.kind != "slow" && !c.conn.held && !c.conn.heldUntil.After(from)
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

// addFickle adds clients with a grantedTongue, and a channel for some of them.
func (w *world) addFickle(random *rand.Rand, kinds []string) {
	own := newStream(w, "kept:c", 120*time.Millisecond) // often, a node has no client on it
	for i := range 8 {
		kind := kinds[i%len(kinds)]
		c := newClient(w, fmt.Sprintf("granted%d-%s", i, kind), kind, grantedTongue{}, w.streams[random.IntN(len(w.streams))])
		if i%2 == 0 {
			c.stream = own
		}
		c.fickle.patron, c.fickle.kept = i < 4, i < 3
		c.fickle.door = &door{world: w, random: w.random(c.name + "'s door"), until: make(map[string]time.Time)}
		w.clients = append(w.clients, c)
	}
	w.streams = append(w.streams, own)
}

// patronize grants clients their channels, and takes them back, until restless ends. Then it
// grants all of them.
func (w *world) patronize(ctx, restless context.Context, random *rand.Rand) {
	granted := slices.DeleteFunc(slices.Clone(w.clients), func(c *client) bool { return !c.fickle.patron })
	node := func(c *client) *node {
		if over := c.fickle.only(); over != nil && random.IntN(2) == 0 {
			return over.node
		}
		return w.nodes[random.IntN(len(w.nodes))].current()
	}
	w.granting.Store(true)
	for pause(restless, between(random, 50*time.Millisecond, 500*time.Millisecond)) {
		c := granted[random.IntN(len(granted))]
		n := node(c)
		grant := gateway.Grant{Channel: c.stream.channel}
		switch what := random.IntN(8); {
		case what < 2 && !c.fickle.kept:
			n.takeBack(ctx, c)
		case what == 2 && !c.fickle.kept:
			grant.Until = time.Now().Add(between(random, time.Second, 20*time.Second))
			n.give(ctx, c, grant)
		case what == 3:
			grant.Cursor = c.stream.cursor(random)
			n.give(ctx, c, grant)
		default:
			n.give(ctx, c, grant)
		}
	}
	w.granting.Store(false)
	pause(ctx, 5*time.Second) // what was taken back may be on its way
	for _, c := range granted {
		for !node(c).give(ctx, c, gateway.Grant{Channel: c.stream.channel}) && pause(ctx, time.Second) {
		}
	}
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
	if reached == 1 && only != nil && grant.Until.IsZero() {
		c.world.living.Go(func() { n.checkGrant(ctx, c, only, changes) })
	}
	if err != nil && !grant.Until.IsZero() {
		c.fickle.unsure.Store(time.Now().UnixNano())
	}
	return err == nil
}

// checkGrant checks that a grant lasts that has reached the client's only session.
func (n *node) checkGrant(ctx context.Context, c *client, over *conn, changes int64) {
	for range 10 {
		if !pause(ctx, 2*time.Second) {
			return
		}
		sessions, err := n.Users.Sessions(ctx, c.name)
		sure := time.Since(time.Unix(0, c.fickle.unsure.Load())) > arrivesWithin
		if c.fickle.only() != over || c.fickle.changes.Load() != changes || c.fickle.leaving.Load() > 0 || !sure {
			return
		}
		if err != nil {
			continue
		}
		c.world.sees("grant checked")
		for _, s := range sessions {
			if s.Session == over.name && !slices.Contains(s.Channels, c.stream.channel) {
				c.world.blame("%s was granted %s, but is on %v", s.Session, c.stream.channel, s.Channels)
			}
		}
		return
	}
}

// arrivesWithin is how long what a node has been asked for may be on its way to others.
const arrivesWithin = time.Minute

// takeBack removes the client from its channel.
func (n *node) takeBack(ctx context.Context, c *client) {
	c.fickle.changes.Add(1)
	defer c.fickle.changes.Add(1)
	_, err := n.reach(ctx, c, "taken back", func(ctx context.Context, of gateway.Whose) (int, error) {
		return n.Users.Unsubscribe(ctx, of, c.stream.channel)
	})
	if err != nil {
		c.fickle.unsure.Store(time.Now().UnixNano())
	}
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
