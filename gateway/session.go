package gateway

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/rates"
)

// Session is one client's stay. A reading goroutine, Serve's, handles the
// client's commands in order, and has another one subscribe (see gather); what is
// to be written waits in the outbox, from where the flushers write it. An idle session
// has no other goroutine, no timer and no buffer.
type Session struct {
	// Fixed at birth.
	gateway   *Gateway
	id        string
	dialect   *dialect
	transport string
	remote    string
	opened    int64    // in Unix nanoseconds
	special   *special // never nil
	alone     bool     // Hello.Alone
	pinged    bool     // Hello.Pinged

	welcomed   bool // owned by Open, then by Receive
	purse      purse
	conn       Conn // set by Serve, before out is attached
	out        outbox.Outbox
	publishing publishing

	// Guarded by mu.
	mu            lock.Mutex[lock.Session]
	principal     *Principal
	pending       *time.Timer         // runs until the client has authenticated; nil: it need not
	subscriptions places              // by name of the channel
	waiting       *[]func()           // for the connection, to go on; nil: nothing
	gathered      *gatheredSubscribes // on their way; nil: none
	inLine        *framesInLine       // of SendTo; nil: none
	ends          bool                // a subscription has an end of its own, or had
	left          bool                // no subscription is added any more
	registered    bool                // the backend is told when it is over

	// Guarded by gateway.sessions.mu.
	removed     bool
	slot, index int32
	user        string // that it is listed under; empty: none
}

// special is what few sessions have. Its first fields are fixed at birth.
type special struct {
	key         string // Hello.Key
	home        string // Hello.Channel
	gate        Gate   // Hello.Gate
	room        Room   // Hello.Room
	publishMost int    // Hello.Publishes

	publishes atomic.Pointer[rates.Bucket] // of publishMost; nil: it has published nothing
}

// specialOf returns what is special about a session: of most the same, which is nothing.
func (g *Gateway) specialOf(h *Hello) *special {
	if h.Key == "" && h.Channel == "" && h.Gate == nil && h.Room == nil && h.Publishes == 0 {
		return &g.nothingSpecial
	}
	return &special{key: h.Key, home: h.Channel, gate: h.Gate, room: h.Room, publishMost: h.Publishes}
}

// takePublish reports whether the session may publish once more.
func (s *special) takePublish() bool {
	if s.publishMost == 0 {
		return true
	}
	if s.publishes.Load() == nil {
		s.publishes.CompareAndSwap(nil, rates.New(rates.Limit{Commands: s.publishMost}))
	}
	return s.publishes.Load().Take(rates.Cost{Commands: 1}) == rates.Enough
}

// ID returns the session's name, unique in the cluster.
func (s *Session) ID() string { return s.id }

// name returns the session's ID; nil has none.
func (s *Session) name() string {
	if s == nil {
		return ""
	}
	return s.id
}

// HasNews reports whether something waits for the client, as it may for a session
// that has no connection yet.
func (s *Session) HasNews() bool { return s.out.Bytes() > 0 }

// Rest says that nothing more of the client's is at hand. What the frames before
// have brought about is written then, rather than for each of them.
func (s *Session) Rest() { s.gateway.line.Help() }

func (s *Session) who() *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principal
}

// gatheredSubscribes: while some of a session's wait for the broker, those that
// its client sends meanwhile wait to go together next. All else that the client
// sends is done when all are.
type gatheredSubscribes struct {
	done chan struct{} // closed when there are none any more

	waiting []Subscribe // guarded by the session's mu
}

// stopPending is called with s.mu held.
func (s *Session) stopPending() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}

func (s *Session) channelOf(name string) string {
	if name == "" {
		return s.special.home
	}
	return name
}

func (s *Session) lacksAuth(p *Principal) bool { return s.gateway.mustAuth && p.anonymous() }

// subscription is a session's place on a channel.
type subscription struct {
	hub.Subscription
	session   *Session   // fixed at birth
	admission *Admission // nil: the zero one. The pointer is fixed at birth, what it points to is guarded by the session's mu

	// Guarded by the session's mu.
	end     int64 // when it ends, in Unix nanoseconds; 0: with the session
	granted bool  // by the server, whatever the rule says
}

// places are a session's subscriptions, by name of the channel.
type places []*subscription

func (p places) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(p, name, func(sub *subscription, name string) int {
		return strings.Compare(sub.Channel(), name)
	})
}

// on returns the place on a channel; nil: there is none.
func (p places) on(name string) *subscription {
	if at, found := p.find(name); found {
		return p[at]
	}
	return nil
}

// seen returns how many places there are beside those of channels that are watched.
func (p places) seen() (n int) {
	for _, sub := range p {
		if !sub.Unseen() {
			n++
		}
	}
	return n
}

// remove gives up a place, and reports whether it was there still.
func (p *places) remove(sub *subscription) bool {
	at, found := p.find(sub.Channel())
	if !found || (*p)[at] != sub {
		return false
	}
	*p = slices.Delete(*p, at, at+1)
	return true
}

// terms are how a session is to be on a channel.
type terms struct {
	hub.Terms
	admission *Admission
	granted   bool
	unplaced  bool // Grant.Unplaced
}

// framesInLine are those of a session that wait to be received, the oldest first.
// While there are any, one goroutine receives them.
type framesInLine struct {
	frames []lined
	bytes  int
}

// lined is a frame in line. Until it is received, it takes of the node's room for what
// clients have sent.
type lined struct {
	Frame
	payer *rates.Bucket
}
