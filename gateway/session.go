package gateway

import (
	"cmp"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/hub"
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
	transport string
	remote    string
	opened    int64    // in Unix nanoseconds
	special   *special // never nil

	writer     // what there is to tell the client
	purse      purse
	places     places
	publishing publishing
	gathered   atomic.Pointer[gathering] // the subscribes that are on their way; nil: none

	// Guarded by mu.
	mu         lock.Mutex[lock.Session]
	principal  *Principal
	pending    *time.Timer // runs until the client has authenticated; nil: it need not
	waiting    *[]func()   // for the connection, to go on; nil: nothing
	left       bool        // it has given up all that it holds
	registered bool        // the backend is told when it is over

	alone    bool // Hello.Alone; fixed at birth
	pinged   bool // Hello.Pinged; fixed at birth
	welcomed bool // owned by Open, then by Receive

	// Guarded by gateway.sessions.mu.
	removed     bool
	slot, index int32
	user        string // that it is listed under; empty: none
}

// subscription is a session's place on a channel.
type subscription struct {
	hub.Subscription
	session   *Session   // fixed at birth
	admission *Admission // nil: the zero one. The pointer is fixed at birth, what it points to is guarded by places.mu

	// Guarded by places.mu.
	end     int64 // when it ends, in Unix nanoseconds; 0: with the session
	granted bool  // by the server, whatever the rule says
}

// places are the subscriptions of a session. All methods may be called concurrently.
type places struct {
	mu     lock.Mutex[lock.Places]
	list   []*subscription // by name of the channel
	ends   bool            // one has an end of its own, or had
	closed bool            // none is added any more
}

// terms are how a session is to be on a channel.
type terms struct {
	hub.Terms
	admission *Admission
	granted   bool
	unplaced  bool // Grant.Unplaced
}

// special is what few sessions have. Its first fields are fixed at birth.
type special struct {
	key         string // Hello.Key
	home        string // Hello.Channel
	gate        Gate   // Hello.Gate
	room        Room   // Hello.Room
	publishMost int    // Hello.Publishes

	publishes atomic.Pointer[rates.Bucket] // of publishMost; nil: it has published nothing
	inLine    inLine                       // of SendTo
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

// channelOf returns the channel that a command is about which names one, or none.
func (s *special) channelOf(name string) string { return cmp.Or(name, s.home) }

// giveRoom gives back what the session has taken of its Room.
func (s *special) giveRoom() {
	if s.room != nil {
		s.room.Give()
	}
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

// stopPending is called with s.mu held.
func (s *Session) stopPending() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}

func (s *Session) lacksAuth(p *Principal) bool { return s.gateway.mustAuth && p.anonymous() }
