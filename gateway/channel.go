package gateway

import (
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/timeline"
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

	joining lock.Turn[lock.Joining]  // serialises joining and leaving at the broker
	mu      lock.Mutex[lock.Channel] // held while a message goes to the audience, so that all see one order

	holds    int32 // guarded by the shard's mu
	live     bool  // the broker delivers; guarded by joining
	followed bool  // joins and leaves too; guarded by joining
	retired  bool  // it has gone from the hub; guarded by mu

	// Guarded by mu.
	delivered uint64 // messages to the audience
	audiences []audience
	*past                       // nil: nothing is known of its history, or it has none
	delayed   *[]*outbox.Outbox // that are to be written when the rule's Delay is over; nil: none
	deltas    *deltas           // nil: there are no subscriptions with deltas
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

	end int64 // when it ends, in Unix nanoseconds; 0: with the session. Guarded by the session's mu

	// Guarded by channel.mu.
	joined  bool
	gone    bool            // left for good: it does not join any more
	as      *attendance.Who // counted so; nil: not
	dialect *dialect        // by which it is told messages
	index   int             // in its audience's members
}

// terms are how a session is on a channel.
type terms struct {
	admission *Admission // fixed at birth; nil: the zero one
	noEcho    bool       // fixed at birth
	granted   bool       // by the server, whatever the rule says; guarded by the session's mu
	unseen    bool       // fixed at birth: it is counted nowhere (Principal.Watched)
}

// skips reports whether the session is not to hear the message, or, since it has
// published it, does not want to.
func (sub *subscription) skips(m *broker.Message) bool {
	return m.Except != "" && sub.session.id == m.Except || sub.noEcho && sub.session.id == m.Session
}

// retire is for a channel that has gone from the hub.
func (ch *channel) retire() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.retired = true
	if ch.past != nil {
		ch.past.Close()
	}
}

// join adds sub to the audience. The caller holds ch.mu.
func (ch *channel) join(sub *subscription) {
	if sub.joined || sub.gone {
		return
	}
	if sub.dialect.manner == differing {
		sub.dialect = sub.dialect.full
	}
	ch.add(sub)
	ch.attend(sub)
}

// add puts sub into its audience, in which it is not.
func (ch *channel) add(sub *subscription) {
	if sub.dialect.manner != plain && ch.deltas == nil {
		ch.deltas = new(deltas)
	}
	a := ch.audienceOf(sub.dialect)
	sub.joined, sub.index = true, len(a.members)
	a.members = append(a.members, member{sub.session, sub})
}

// leave removes sub from the audience for good.
func (ch *channel) leave(sub *subscription) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sub.gone = true
	ch.remove(sub)
	if ch.rule.Load().Conflate {
		sub.session.out.DropLatest(ch)
	}
	ch.trimDeltas()
	ch.attend(sub)
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
	a := ch.audienceOf(sub.dialect)
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

// receive takes a message from the broker. A position is one of the channel's history
// only if its rule says that it keeps one.
func (ch *channel) receive(m *broker.Message) {
	e := &timeline.Entry{Message: *m}
	if ch.rule.Load().Bare { // its publishers need not know of envelopes
		e.Message = m.Bare()
	}
	if ch.hub.received.Add(1)%sampleOneOf == 0 {
		e.Received = time.Now()
	}
	keeps := ch.keepsHistory()
	if !keeps {
		e.Message.Position = broker.Position{}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if keeps || ch.past != nil {
		ch.recall()
		ch.receiveNext(e)
		return
	}
	ch.deliver(e)
}

const sampleOneOf = 16

// deliver sends an entry to the audience. The caller holds ch.mu, and has what is
// parked written when there is no more to deliver.
func (ch *channel) deliver(e *timeline.Entry) {
	ch.delivered++
	conflate := ch.rule.Load().Conflate
	traced := ch.hub.following.begin(ch, &e.Message)
	before := ch.deltas.begin(ch)
	for i := range ch.audiences {
		a := &ch.audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := a.dialect.frameOf(e, before)
		traced.expect(a, &e.Message, frame)
		if err != nil {
			ch.dismiss(a, dismissal{reason: ReasonOf(err)})
			continue
		}
		if frame != nil {
			ch.send(a, e, frame, conflate)
		}
	}
	ch.deltas.end(ch, &e.Message, conflate)
	ch.hub.following.look(ch)
}

// send queues a message's frame for every member.
func (ch *channel) send(a *audience, e *timeline.Entry, frame []byte, conflate bool) {
	g := ch.hub.gateway
	woken := ch.wakes()
	receipt := e.Received
	for i := range a.members {
		m := &a.members[i]
		if m.of.skips(&e.Message) {
			ch.deltas.skip(m.of)
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

// setRule replaces the channel's rule.
func (ch *channel) setRule(rule *rules.Rule) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if was := ch.rule.Swap(rule); !was.Conflate || rule.Conflate {
		return
	}
	woken := ch.wakes()
	for _, a := range ch.audiences {
		for _, m := range a.members {
			woken.add(m.session, m.session.out.QueueLatest(ch, &ch.hub.gateway.outboxes))
		}
	}
	woken.rouse()
}

// woken hands outboxes that are to be written now to the flushers in groups, while
// others are still being served.
type woken struct {
	ch    *channel
	delay time.Duration
	boxes [64]*outbox.Outbox
	n     int
}

func (ch *channel) wakes() woken { return woken{ch: ch, delay: ch.rule.Load().Delay} }

// add takes what became of a session's frame.
func (w *woken) add(s *Session, v outbox.Verdict) {
	switch v {
	case outbox.Wakes:
		w.boxes[w.n] = &s.out
		if w.n++; w.n == len(w.boxes) {
			w.rouse()
		}
	case outbox.Full:
		s.Close(SlowConsumer)
	}
}

// rouse hands over the outboxes that were added.
func (w *woken) rouse() {
	w.ch.rouse(w.boxes[:w.n], w.delay)
	w.n = 0
}

// rouse puts outboxes in line for the flushers, or, if the rule has a Delay, leaves
// them until it is over: what comes meanwhile goes out with it, in one system call.
func (ch *channel) rouse(boxes []*outbox.Outbox, delay time.Duration) {
	switch {
	case delay <= 0:
		ch.hub.gateway.line.Park(boxes...)
	case len(boxes) > 0:
		if ch.delayed == nil {
			ch.delayed = new([]*outbox.Outbox)
			time.AfterFunc(delay, func() { ch.hub.gateway.wall.Do("write what was delayed", ch.rouseDelayed) })
		}
		*ch.delayed = append(*ch.delayed, boxes...)
	}
}

func (ch *channel) rouseDelayed() {
	ch.mu.Lock()
	boxes := ch.delayed
	ch.delayed = nil
	ch.mu.Unlock()
	if boxes != nil {
		ch.hub.gateway.line.Queue(*boxes...)
	}
}

// announce sends an event that is no message to the audience. The caller holds
// ch.mu.
func (ch *channel) announce(event Event) { ch.announceOf(event, nil) }

// announceOf is announce for an event that is about a member; nil: it is about none.
func (ch *channel) announceOf(event Event, who *attendance.Who) {
	for i := range ch.audiences {
		a := &ch.audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := a.dialect.encode(event)
		if d, due := dismissalFor(frame, err); due {
			ch.dismiss(a, d)
			continue
		}
		if frame.Data == nil {
			continue
		}
		woken := ch.wakes()
		for _, m := range a.members {
			if frame.Others && m.of.isOf(who) {
				continue
			}
			woken.add(m.session, m.session.out.Push(frame.Data, &ch.hub.gateway.outboxes))
		}
		woken.rouse()
	}
	ch.hub.gateway.line.Rouse()
}

// past is what is known of a channel's history, and what is being read of it. It is
// guarded by the channel's mu.
type past struct {
	timeline.Timeline
	repairing *repairing // nil: nothing is being repaired
	reading   *rangeRead // for those who resume; nil: nothing
	failed    *rangeRead // the last that did
}

// repairing is a repair that is under way: what a channel has missed is read from
// its history, and given to its audience in order. What follows live goes on
// meanwhile.
type repairing struct {
	done  chan struct{} // closed when it has ended
	hurry chan struct{} // told when the broker may be there again
}

// rangeRead is a read that others wait for.
type rangeRead struct {
	done     chan struct{}
	outdated bool // the history was cleared meanwhile; guarded by the channel's mu

	// To be read after done is closed.
	err error
	end time.Time
}
