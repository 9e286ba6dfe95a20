package gateway

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/rates"
)

// Session is one client's session. Its reading goroutine, the one of Serve, handles the
// client's commands in order and starts other goroutines for subscribes (see gather) and for
// what a client that resumes is sent after the reply (see later).
// Frames to be written wait in the outbox until a flusher writes them. An idle session has
// no other goroutine, no timer and no buffer.
type Session struct {
	// Immutable.
	gateway   *Gateway
	id        string
	transport string
	remote    string
	opened    int64    // in Unix nanoseconds
	special   *special // never nil

	writer     // sends events to the client
	purse      purse
	places     places
	publishing publishing
	gathered   atomic.Pointer[gathering] // the subscribes in progress; nil: none

	// Guarded by mu.
	mu         lock.Mutex[lock.Session]
	principal  *Principal
	pending    *time.Timer // runs until the client has authenticated; nil: the client need not
	rests      *rests      // nil: none
	left       bool        // the session has released all its resources
	registered bool        // the backend is told when the session ends

	alone    bool // Hello.Alone; immutable
	pinged   bool // Hello.Pinged; immutable
	welcomed bool // owned by Open, then by Receive

	// Guarded by gateway.sessions.mu.
	removed     bool
	slot, index int32
	user        string // the user whose sessions it is listed with; empty: none
}

// subscription is a session's subscription to a channel.
type subscription struct {
	hub.Subscription
	session   *Session   // immutable
	admission *Admission // nil: the zero Admission. The pointer is immutable; places.mu guards what it points to

	// Guarded by places.mu.
	end     int64  // when the subscription ends, in Unix milliseconds, as nanoseconds end in 2262; 0: with the session
	granted bool   // by the server, regardless of the rule
	entered bool   // a join has been answered: it lasts, whatever becomes of other joins
	owed    bool   // a grant has left it to the client's join
	ended   uint8  // 1 + the index in codes of why it was ended; 0: it was not, or the client has asked for that
	pending uint16 // number of joins under way
	asked   uint16 // how many of these are the client's
}

// places are the subscriptions of a session. All methods are safe for concurrent use.
type places struct {
	mu     lock.Mutex[lock.Places]
	list   []*subscription // sorted by channel name
	ends   bool            // some subscription ends before the session, or once did
	closed bool            // no more subscriptions may be added
}

// terms are the conditions of a subscription.
type terms struct {
	hub.Terms
	admission *Admission
	granted   bool
	until     time.Time // of what is granted: as Grant.Until
	fresh     bool      // there must be no subscription yet
	unplaced  bool      // Grant.Unplaced
}

// special holds what few sessions need. The fields of the first group are immutable.
type special struct {
	key         string // Hello.Key
	home        string // Hello.Channel
	gate        Gate   // Hello.Gate
	room        Room   // Hello.Room
	publishMost int32  // Hello.Publishes
	patient     bool   // Hello.Patient

	headers   atomic.Pointer[keptHeaders]  // of the request, for the first question about a connect that comes later; nil: none, or asked
	publishes atomic.Pointer[rates.Bucket] // enforces publishMost; nil: nothing has been published yet
	line      atomic.Pointer[inLine]       // of SendTo; nil: it has not been used yet
}

// specialOf returns the special part of a session. Most sessions need none and share the
// zero one.
func (g *Gateway) specialOf(ctx context.Context, h *Hello) *special {
	var headers *keptHeaders
	if g.asksLater(h) && g.asks(OnConnect, &h.Principal) {
		headers = keptOf(headersOf(ctx))
	}
	if h.Key == "" && h.Channel == "" && h.Gate == nil && h.Room == nil && h.Publishes == 0 && !h.Patient && headers == nil {
		return &g.nothingSpecial
	}
	s := &special{key: h.Key, home: h.Channel, gate: h.Gate, room: h.Room, publishMost: int32(h.Publishes), patient: h.Patient}
	s.headers.Store(headers)
	return s
}

// keptHeaders are the headers of a request, held on behalf of the client.
type keptHeaders struct {
	values map[string][]string
	size   int
}

func keptOf(headers map[string][]string) *keptHeaders {
	if headers == nil {
		return nil
	}
	kept := &keptHeaders{values: headers}
	for name, values := range headers {
		for _, value := range values {
			kept.size += len(name) + len(value)
		}
	}
	return kept
}

// holdHeaders reserves room for the headers that are kept, until dropHeaders.
func (s *Session) holdHeaders() error {
	kept := s.special.headers.Load()
	if kept == nil {
		return nil
	}
	return s.gateway.Budget.Hold(s.purse.address, kept.size)
}

func (s *Session) dropHeaders() {
	if s.special.headers.Load() == nil {
		return // most sessions share one special
	}
	if kept := s.special.headers.Swap(nil); kept != nil {
		s.gateway.Budget.LetGo(s.purse.address, kept.size)
	}
}

// asksLater reports whether the client has yet to authenticate with a first Auth. The backend
// is not asked about its connect before that.
func (g *Gateway) asksLater(h *Hello) bool {
	return h.AuthFirst || h.AuthLater && g.mustAuth && h.Principal.anonymous()
}

// inLine returns the queue of SendTo.
func (s *special) inLine() *inLine {
	if s.line.Load() == nil {
		s.line.CompareAndSwap(nil, new(inLine))
	}
	return s.line.Load()
}

// takePublish reports whether the session may publish one more message now, and counts it
// against Hello.Publishes.
func (s *special) takePublish() bool {
	if s.publishMost == 0 {
		return true
	}
	if s.publishes.Load() == nil {
		s.publishes.CompareAndSwap(nil, rates.New(rates.Limit{Commands: int(s.publishMost)}))
	}
	return s.publishes.Load().Take(rates.Cost{Commands: 1}) == rates.Enough
}

// channelOf returns name or, if it is empty, the session's own channel.
func (s *special) channelOf(name string) string { return cmp.Or(name, s.home) }

// giveRoom returns the session's place to its Room.
func (s *special) giveRoom() {
	if s.room != nil {
		s.room.Give()
	}
}

// ID returns the session's ID, which is unique in the cluster.
func (s *Session) ID() string { return s.id }

// HasNews reports whether frames wait to be written to the client. They may be waiting even
// if the session has no connection yet.
func (s *Session) HasNews() bool { return s.out.Bytes() > 0 }

// Rest is called when all input at hand has been handled. It writes what the frames so far
// have produced, all at once rather than frame by frame.
func (s *Session) Rest() { s.gateway.line.Help() }

func (s *Session) who() *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principal
}

// stopPending stops the timer of pending. The caller must hold s.mu.
func (s *Session) stopPending() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}

func (s *Session) lacksAuth(p *Principal) bool { return s.gateway.mustAuth && p.anonymous() }
