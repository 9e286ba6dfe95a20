package gateway

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
)

// channel is a channel that sessions of this node listen to.
//
// A node may have many with a session each: what only some of them need lies
// elsewhere, and the small fields side by side.
type channel struct {
	// Fixed at birth.
	name string
	hub  *hub

	rule atomic.Pointer[rules.Rule] // replaced when the rules are loaded anew

	joining sync.Mutex // serialises joining and leaving at the broker
	mu      sync.Mutex // held while a message goes to the audience, so that all see one order

	holds    int32 // guarded by the shard's mu
	live     bool  // the broker delivers; guarded by joining
	followed bool  // joins and leaves too; guarded by joining

	// Guarded by mu.
	retired    bool // it has gone from the hub
	audiences  []audience
	*past                  // nil: nothing is known of its history, or it has none
	delayed    *[]*Session // that are to be written to when the rule's Delay is over; nil: none
	attendance *attendance // nil: nobody has been present
	roster     *roster     // nil: nobody is told of joins and leaves
}

// past is what is known of a channel's history. On a channel with history every
// message has a position, and what the audience has been sent is everything up to
// position: a message that does not follow it is a repetition, which is dropped, or
// shows that something was missed, which is repaired (see repair.go). It is guarded
// by the channel's mu.
type past struct {
	position broker.Position // of the last message sent; zero: not known
	unkept   uint64          // messages that came and are in no history: nothing brings them again
	tail     tail
	repair   repair
	former   broker.Position // where the epoch before that of position was left
	cleared  broker.Position // messages up to here are in the history no more
	looked   time.Time       // when the position was last compared with the history
	reading  *rangeRead
	failed   *rangeRead // the last that did
}

// recall sees to it that there is a past. The caller holds ch.mu.
func (ch *channel) recall() {
	if ch.past == nil {
		ch.past = &past{tail: tail{closed: ch.retired}}
	}
}

// at returns the position of the last message sent; zero: it is not known, or the
// channel has no history. The caller holds ch.mu.
func (ch *channel) at() broker.Position {
	if ch.past == nil {
		return broker.Position{}
	}
	return ch.position
}

// audience is the part of a channel's subscriptions that speak one dialect.
type audience struct {
	dialect *dialect
	members []member
}

type member struct {
	session *Session
	of      *subscription
}

// subscription is a session's place on a channel.
type subscription struct {
	// Fixed at birth.
	session *Session
	channel *channel
	terms

	// Guarded by channel.mu.
	joined   bool
	gone     bool // left for good: it does not join any more
	present  bool // counted in the channel's attendance
	enrolled bool // on the roll
	member   bool // and its user, too, who does not change any more
	index    int  // in its audience's members
}

// terms are how a session is on a channel.
type terms struct {
	noEcho  bool // fixed at birth
	granted bool // by the server, whatever the rule says; guarded by the session's mu
}

// skips reports whether the session does not want to hear the message, since it
// has published it.
func (sub *subscription) skips(m *broker.Message) bool {
	return sub.noEcho && sub.session.id == m.Session
}

// dialect is a protocol in use, and what is resolved once for it.
type dialect struct {
	protocol  Protocol
	wall      *wall.Wall
	delivered counterAdd
	heartbeat []byte // the frame of a Heartbeat; nil: there is none
}

type counterAdd interface{ Add(float64) }

func (ch *channel) keepsHistory() bool {
	return ch.hub.gateway.history != nil && ch.rule.Load().KeepsHistory()
}

func (ch *channel) knowsPosition() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return !ch.at().IsZero()
}

// startAt notes the channel's position, unless a message has told a later one.
func (ch *channel) startAt(top broker.Top) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if ch.position.IsZero() || ch.position.Epoch == top.Epoch && ch.position.Offset < top.Offset {
		ch.tellGap() // to those who came before history was kept: messages up to top may be on their way
		ch.position = top.Position
		ch.tail.clear(&ch.hub.tails)
	}
	if ch.position.Epoch == top.Epoch {
		ch.former = top.Former
	}
	ch.looked = time.Now()
}

// forgetPosition is for a channel whose messages the broker does not deliver any
// more.
func (ch *channel) forgetPosition() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past != nil && !ch.repair.running {
		ch.position = broker.Position{}
		ch.tail.clear(&ch.hub.tails)
	}
}

// forgetHistory is for a channel whose history was cleared up to a position.
func (ch *channel) forgetHistory(cleared broker.Position) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	ch.cleared = cleared
	ch.tail.clear(&ch.hub.tails)
	ch.hub.archive.forget(ch)
	if ch.reading != nil {
		ch.reading.outdated = true
	}
}

// keep puts a message into the tail that goes to the audience. The caller holds
// ch.mu.
func (ch *channel) keep(e *entry) {
	if at := e.message.Position; at.Epoch == ch.cleared.Epoch && at.Offset <= ch.cleared.Offset {
		ch.tail.clear(&ch.hub.tails) // it was on its way when the history was cleared
		return
	}
	ch.tail.append(e, time.Now(), &ch.hub.tails)
}

// retire is for a channel that has gone from the hub.
func (ch *channel) retire() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.retired = true
	if ch.past != nil {
		ch.tail.close(&ch.hub.tails)
	}
}

// join adds sub to the audience. The caller holds ch.mu.
func (ch *channel) join(sub *subscription) {
	if sub.joined || sub.gone {
		return
	}
	a := ch.audienceOf(sub.session.dialect)
	sub.joined, sub.index = true, len(a.members)
	a.members = append(a.members, member{sub.session, sub})
	ch.enrol(sub)
	ch.attend(sub)
}

// leave removes sub from the audience for good.
func (ch *channel) leave(sub *subscription) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sub.gone = true
	ch.remove(sub)
	ch.absent(sub)
	ch.strike(sub)
}

// stepOut removes sub from the audience until it joins again.
func (ch *channel) stepOut(sub *subscription) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.remove(sub)
}

func (ch *channel) remove(sub *subscription) {
	if !sub.joined {
		return
	}
	a := ch.audienceOf(sub.session.dialect)
	last := len(a.members) - 1
	a.members[sub.index] = a.members[last]
	a.members[sub.index].of.index = sub.index
	a.members[last] = member{}
	a.members = a.members[:last]
	sub.joined = false
}

func (ch *channel) isHeard() bool {
	return slices.ContainsFunc(ch.audiences, func(a audience) bool { return len(a.members) > 0 })
}

func (ch *channel) audienceOf(d *dialect) *audience {
	for i := range ch.audiences {
		if ch.audiences[i].dialect == d {
			return &ch.audiences[i]
		}
	}
	ch.audiences = append(ch.audiences, audience{dialect: d})
	return &ch.audiences[len(ch.audiences)-1]
}

// receive takes a message from the broker.
func (ch *channel) receive(m *broker.Message) {
	e := &entry{message: m}
	if ch.hub.received.Add(1)%sampleOneOf == 0 {
		e.received = time.Now()
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if m.Position.IsZero() {
		ch.noteUnkept()
		ch.deliver(e)
		return
	}
	ch.receiveNext(e)
}

const sampleOneOf = 16

// noteUnkept is called for a message that nothing brings again, which matters beside
// those that the history brings. The caller holds ch.mu.
func (ch *channel) noteUnkept() {
	if ch.past != nil || ch.keepsHistory() {
		ch.recall()
		ch.unkept++
	}
}

// deliver sends an entry to the audience. The caller holds ch.mu, and has what is
// parked written when there is no more to deliver.
func (ch *channel) deliver(e *entry) {
	conflate := ch.rule.Load().Conflate
	for i := range ch.audiences {
		a := &ch.audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := e.frame(a.dialect)
		if err != nil {
			ch.dismiss(a, ReasonOf(err))
			continue
		}
		if frame != nil {
			ch.send(a, e, frame, conflate)
		}
	}
}

// send queues a message's frame for every member.
func (ch *channel) send(a *audience, e *entry, frame []byte, conflate bool) {
	g := ch.hub.gateway
	woken := ch.wakes()
	receipt := e.received
	for i := range a.members {
		m := &a.members[i]
		if m.of.skips(e.message) {
			continue
		}
		var v outbox.Verdict
		if conflate {
			v = m.session.out.PushLatest(ch, frame, &g.outboxes)
		} else {
			v = m.session.out.PushMessage(frame, &g.outboxes, receipt)
			receipt = time.Time{}
		}
		woken.add(m.session, v)
	}
	woken.rouse()
}

// woken hands sessions that wake up by a frame to the flushers in groups, while
// others are still being served.
type woken struct {
	ch       *channel
	delay    time.Duration
	sessions [64]*Session
	n        int
}

func (ch *channel) wakes() woken { return woken{ch: ch, delay: ch.rule.Load().Delay} }

// add takes what became of a session's frame.
func (w *woken) add(s *Session, v outbox.Verdict) {
	switch v {
	case outbox.Wakes:
		w.sessions[w.n] = s
		if w.n++; w.n == len(w.sessions) {
			w.rouse()
		}
	case outbox.Full:
		s.Close(SlowConsumer)
	}
}

// rouse hands over the sessions that were added.
func (w *woken) rouse() {
	w.ch.rouse(w.sessions[:w.n], w.delay)
	w.n = 0
}

// rouse puts sessions in line for the flushers, or, if the rule has a Delay, leaves
// them until it is over: what comes meanwhile goes out with it, in one system call.
func (ch *channel) rouse(sessions []*Session, delay time.Duration) {
	switch {
	case delay <= 0:
		ch.hub.gateway.line.Park(sessions...)
	case len(sessions) > 0:
		if ch.delayed == nil {
			ch.delayed = new([]*Session)
			time.AfterFunc(delay, func() { ch.hub.gateway.wall.Do("write what was delayed", ch.rouseDelayed) })
		}
		*ch.delayed = append(*ch.delayed, sessions...)
	}
}

func (ch *channel) rouseDelayed() {
	ch.mu.Lock()
	sessions := ch.delayed
	ch.delayed = nil
	ch.mu.Unlock()
	if sessions != nil {
		ch.hub.gateway.line.Queue(*sessions...)
	}
}

// tell sends an event that is no message to the audience. The caller holds
// ch.mu.
func (ch *channel) tell(event Event) {
	for i := range ch.audiences {
		a := &ch.audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := a.dialect.encode(event)
		if err != nil {
			ch.dismiss(a, ReasonOf(err))
			continue
		}
		if frame.Data == nil {
			continue
		}
		woken := ch.wakes()
		for _, m := range a.members {
			woken.add(m.session, m.session.out.Push(frame.Data, &ch.hub.gateway.outboxes))
		}
		woken.rouse()
	}
	ch.hub.gateway.line.Rouse()
}

// dismiss ends the sessions of an audience that cannot be told otherwise, spread
// over some time, so that they do not all come back at once.
func (ch *channel) dismiss(a *audience, reason Reason) {
	sessions := make([]*Session, len(a.members))
	for i, m := range a.members {
		sessions[i] = m.session
	}
	ch.hub.gateway.dismiss(sessions, reason)
}
