package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// roll is which channels have sessions, and which users are on them, in the whole
// cluster: a backend is told when the first comes and the last has gone, each by
// one node.
//
// A stay is a channel, or a user on one. Every node states its own stays to the
// others: that one has come, or gone, until a keeper has settled it, which means
// that the backend knows. The keepers of a stay are the two nodes of those alive
// that rendezvous hashing puts first; the first one tells the backend, and the
// second one knows what the first knows.
//
// So each event is told at least once, unless within the same lease both keepers
// fail, or one of them and the node that the event comes from. It is told more
// than once if a keeper fails, or is cut off, before it could settle. A stay that
// ends and begins anew within the linger is told as neither.
//
//	from a node                             to its keepers
//	  come, held (settled before), gone ──>   note it; tell the backend; settle
type roll struct {
	// Fixed at birth.
	gateway  *Gateway
	linger   time.Duration
	channels bool // the backend wants to hear of channels
	members  bool // and of members
	wake     chan struct{}

	// Guarded by mu. Nothing is called under it but Hooks.Tell.
	mu       sync.Mutex
	own      map[stay]*ownStay
	open     map[stay]*ownStay // those of own that are not settled
	unsent   []stay            // of own, to be stated soon
	kept     map[stay]*keptStay
	due      []stay                 // of kept, to be looked at when something may have changed
	replies  map[string][]statement // settlements for the nodes that wait for them
	told     []statement            // for second keepers; by the way of what they are about, to follow it
	alive    []string               // as of the last look
	changed  time.Time
	lookedAt time.Time
	swept    time.Time
	cutOff   bool // the broker was away since the last look
}

// stay is a channel that has sessions, or a user who has sessions on it.
type stay struct {
	Channel string `json:"c"`
	User    string `json:"u,omitempty"` // empty: the channel as such
}

// ownStay is one that this node has, or has had and must say so.
type ownStay struct {
	sessions int
	version  uint64 // of the last change between none and some
	settled  bool
	sent     time.Time
}

// statement is what a node says of one of its stays.
type statement struct {
	stay
	Version uint64 `json:"v"`
	State   string `json:"s"`
}

const (
	hasCome  = "come"    // the node has it, and the backend may not know
	isHeld   = "held"    // the node has it, and the backend knows
	hasGone  = "gone"    // the node has it no more, and the backend may not know
	settled  = "settled" // to the node: the backend knows of this version
	hasBegun = "begun"   // to the second keeper: the backend knows that it has begun
	hasEnded = "ended"   // to the second keeper: and that it has ended
)

// rollCall is a message of statements from one node.
type rollCall struct {
	Node       string      `json:"node"`
	Statements []statement `json:"statements"`
}

const (
	rollBatch   = 500                   // statements of one message
	rollPause   = 20 * time.Millisecond // for more to come before a message goes out
	rollStart   = time.Second
	rollTick    = 500 * time.Millisecond
	rollRepeat  = 2 * time.Second // until something is stated again that nobody has settled
	rollGrace   = 3 * time.Second // for nodes to state all, after one has come or gone
	rollForget  = 15 * rollRepeat // until a second keeper forgets an empty stay that nobody states any more
	rollKeepers = 2
)

// newRoll returns nil if no backend wants to hear of it.
func newRoll(g *Gateway, linger time.Duration) *roll {
	if g.hooks == nil {
		return nil
	}
	r := &roll{
		gateway: g, linger: linger,
		channels: g.hooks.Wants(OnChannelOccupied) || g.hooks.Wants(OnChannelVacated),
		members:  g.hooks.Wants(OnMemberJoined) || g.hooks.Wants(OnMemberLeft),
		wake:     make(chan struct{}, 1),
		own:      make(map[stay]*ownStay), open: make(map[stay]*ownStay), kept: make(map[stay]*keptStay),
		replies: make(map[string][]statement),
		alive:   []string{g.node}, lookedAt: time.Now(),
	}
	if !r.channels && !r.members {
		return nil
	}
	return r
}

// enrol counts a subscription; again, when its user has become known. The caller
// holds the channel's mu.
func (ch *channel) enrol(sub *subscription) {
	r := ch.hub.gateway.roll
	if r == nil {
		return
	}
	if r.channels && !sub.enrolled {
		r.enter(stay{Channel: ch.name})
	}
	sub.enrolled = true
	if !r.members || sub.member || !ch.rule.Load().Presence {
		return
	}
	if user := sub.session.who().User; user != "" {
		sub.member = true
		r.enter(stay{ch.name, user})
	}
}

// strike undoes enrol. The caller holds the channel's mu.
func (ch *channel) strike(sub *subscription) {
	r := ch.hub.gateway.roll
	if r == nil || !sub.enrolled {
		return
	}
	if r.channels {
		r.leave(stay{Channel: ch.name})
	}
	if sub.member {
		r.leave(stay{ch.name, sub.session.who().User})
	}
	sub.enrolled, sub.member = false, false
}

// enrolUser counts the session's user on the channels that it came to before the
// user was known.
func (s *Session) enrolUser() {
	if s.gateway.roll == nil {
		return
	}
	s.mu.Lock()
	subscriptions := slices.Clone(s.subscriptions)
	s.mu.Unlock()
	for _, sub := range subscriptions {
		sub.channel.mu.Lock()
		if sub.enrolled {
			sub.channel.enrol(sub)
		}
		sub.channel.mu.Unlock()
	}
}

func (r *roll) enter(at stay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.own[at]
	if o == nil {
		o = &ownStay{}
		r.own[at] = o
	}
	if o.sessions++; o.sessions == 1 {
		r.change(at, o)
	}
}

func (r *roll) leave(at stay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.own[at]
	if o.sessions--; o.sessions == 0 {
		r.change(at, o)
	}
}

// change makes a stay of this node's own one that is to be stated. Versions go on
// where another run of the node, or an earlier stay, left off.
func (r *roll) change(at stay, o *ownStay) {
	o.version = max(o.version+1, uint64(time.Now().UnixMicro()))
	o.settled = false
	r.open[at] = o
	r.unsent = append(r.unsent, at)
	r.rouse()
}

func (r *roll) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run states and keeps until ctx ends. The backend is told the rest then, if no
// other node is there to do it.
func (r *roll) run(ctx context.Context) {
	if !r.awaitOthers(ctx) {
		return
	}
	tick := time.NewTicker(rollTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.endAlone()
			return
		case <-r.wake:
			pause(ctx, rollPause)
		case <-tick.C:
			r.look(time.Now())
		}
		r.exchange(ctx, time.Now())
	}
}

// awaitOthers leaves the other nodes time to say hello to a new one, which would
// take itself for the only one.
func (r *roll) awaitOthers(ctx context.Context) bool {
	for r.gateway.cluster.Joined() != nil {
		if !pause(ctx, rollPause) {
			return false
		}
	}
	if pause(ctx, rollStart) {
		r.look(time.Now())
	}
	return true
}

// look notes which nodes are alive. Whoever was cut off from the others may have
// been declared dead by them, and states everything as if it were new.
func (r *roll) look(now time.Time) {
	alive, away := r.gateway.cluster.Alive(), r.gateway.link.Load().err != nil
	r.mu.Lock()
	defer r.mu.Unlock()
	stopped := now.Sub(r.lookedAt) > r.gateway.lease/2+2*rollTick
	r.lookedAt = now
	r.cutOff = r.cutOff || away || stopped
	if r.cutOff && !away {
		r.cutOff = false
		r.restate(now, func(at stay, o *ownStay) { r.change(at, o) })
	}
	r.repeat(now)
	r.sweep(now)
	if slices.Equal(alive, r.alive) {
		return
	}
	r.alive, r.changed = alive, now
	r.restate(now, func(at stay, _ *ownStay) { r.unsent = append(r.unsent, at) })
	r.reassign(now)
}

// restate does something with every stay of this node's own.
func (r *roll) restate(now time.Time, do func(stay, *ownStay)) {
	for at, o := range r.own {
		do(at, o)
		o.sent = now
	}
}

// repeat states again what nobody has settled.
func (r *roll) repeat(now time.Time) {
	for at, o := range r.open {
		if now.Sub(o.sent) > rollRepeat {
			o.sent = now
			r.unsent = append(r.unsent, at)
		}
	}
}

// exchange sends what there is to say to other nodes, and takes what this one
// says to itself.
func (r *roll) exchange(ctx context.Context, now time.Time) {
	r.mu.Lock()
	statements := r.statements(now)
	r.take(r.gateway.node, statements, now)
	r.keep(now)
	statements, r.told = append(statements, r.told...), nil
	replies, alive := r.replies, r.alive
	r.replies = make(map[string][]statement)
	own := replies[r.gateway.node]
	delete(replies, r.gateway.node)
	r.settle(own)
	r.mu.Unlock()
	r.send(ctx, alive, statements)
	for node, settlements := range replies {
		r.send(ctx, []string{node}, settlements)
	}
}

// statements empties unsent.
func (r *roll) statements(now time.Time) []statement {
	list := make([]statement, 0, len(r.unsent))
	for _, at := range r.unsent {
		o := r.own[at]
		if o == nil {
			continue // settled meanwhile
		}
		o.sent = now
		state := hasCome
		switch {
		case o.sessions == 0:
			state = hasGone
		case o.settled:
			state = isHeld
		}
		list = append(list, statement{at, o.version, state})
	}
	r.unsent = nil
	return list
}

func (r *roll) send(ctx context.Context, nodes []string, statements []statement) {
	for batch := range slices.Chunk(statements, rollBatch) {
		for _, node := range nodes {
			if node != r.gateway.node {
				// What fails is stated again, since nobody settles it.
				r.gateway.background.Go(func() { _ = r.gateway.cluster.Tell(ctx, node, "roll", rollCall{r.gateway.node, batch}) })
			}
		}
	}
}

func (g *Gateway) hearRoll(_ string, body json.RawMessage) error {
	var c rollCall
	err := json.Unmarshal(body, &c)
	if err == nil {
		g.roll.hear(&c)
	}
	return err
}

// hear takes what another node says.
func (r *roll) hear(c *rollCall) {
	if r == nil || c.Node == r.gateway.node {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(c.Node, c.Statements, time.Now())
	r.settle(c.Statements)
	r.rouse()
}

// settle notes which of this node's own stays the backend knows of.
func (r *roll) settle(statements []statement) {
	for _, s := range statements {
		o := r.own[s.stay]
		if s.State != settled || o == nil || o.version != s.Version {
			continue
		}
		o.settled = true
		delete(r.open, s.stay)
		if o.sessions == 0 {
			delete(r.own, s.stay)
		}
	}
}
