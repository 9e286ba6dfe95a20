package hub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/timeline"
	"tidegate/gateway/rules"
)

// Channel is a channel that sessions of this node listen to.
//
// A node may have many with a session each: what only some of them need lies
// elsewhere, and the small fields side by side.
type Channel struct {
	// Fixed at birth.
	name string
	all  *shared

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

// shared is what all channels of a node have in common.
type shared struct {
	Config
	following following
	timelines timeline.Store
	repairs   chan struct{} // a place in it is the right to read for a repair
	received  atomic.Uint64 // messages, to sample from
	entries   sync.Pool     // of *timeline.Entry, of messages that are in no history
}

// audience is the part of a channel's subscriptions that speak one dialect.
type audience struct {
	dialect *Dialect
	members []member
}

type member struct {
	out *outbox.Outbox
	of  *Subscription
}

// Subscription is a session's place on a channel. Hub.Reserve makes it, and Hub.Release
// ends it.
type Subscription struct {
	// Fixed at birth.
	channel *Channel
	by      Subscriber
	terms   Terms

	// Guarded by channel.mu.
	gone    bool            // left for good: it does not join any more
	index   int32           // in its audience's members; nowhere: it is not in it
	as      *attendance.Who // counted so; nil: not
	dialect *Dialect        // by which it is told messages
}

// Terms are how a session is on a channel.
type Terms struct {
	NoEcho  bool // it does not hear what it has published
	Unseen  bool // it is no member, and backends are not told of it
	Unaware bool // it does not hear who comes and goes
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

// deltas is what a channel keeps while there are subscriptions with deltas. Who has just
// come, or was not told the last message, is told the next one whole; by that it becomes
// one of those who are told what differs. It is guarded by the channel's mu.
type deltas struct {
	latest    timeline.Latest // what those who are told what differs were told last
	open      bool            // a message is on its way to the audiences
	skipping  []*Subscription // that are not to hear it
	conflated bool            // what waits may have been replaced: all is told whole
}

// Name returns the channel's name.
func (ch *Channel) Name() string { return ch.name }

// Channel returns the name of the subscription's channel.
func (sub *Subscription) Channel() string { return sub.channel.name }

// Unseen reports whether the session is no member of the channel.
func (sub *Subscription) Unseen() bool { return sub.terms.Unseen }

// joined reports whether the subscription is in its audience. The caller holds the
// channel's mu.
func (sub *Subscription) joined() bool { return sub.index != nowhere }

const nowhere = -1

// skips reports whether the session is not to hear the message, or, since it has
// published it, does not want to.
func (sub *Subscription) skips(m *broker.Message) bool {
	return m.Except != "" && sub.by.ID() == m.Except || sub.terms.NoEcho && sub.by.ID() == m.Session
}

// Audience returns those who listen to the channel, and how many messages they had.
func (ch *Channel) Audience() (list []Subscriber, messages uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for i := range ch.audiences {
		for _, m := range ch.audiences[i].members {
			list = append(list, m.of.by)
		}
	}
	return list, ch.delivered
}

func (ch *Channel) isHeard() bool {
	return slices.ContainsFunc(ch.audiences, func(a audience) bool { return len(a.members) > 0 })
}

func (ch *Channel) audienceOf(d *Dialect) *audience {
	for i := range ch.audiences {
		if ch.audiences[i].dialect == d {
			return &ch.audiences[i]
		}
	}
	ch.audiences = append(ch.audiences, audience{dialect: d})
	return &ch.audiences[len(ch.audiences)-1]
}

// add puts sub into its audience, in which it is not. The caller holds ch.mu.
func (ch *Channel) add(sub *Subscription) {
	if sub.dialect.manner != plain && ch.deltas == nil {
		ch.deltas = new(deltas)
	}
	a := ch.audienceOf(sub.dialect)
	sub.index = int32(len(a.members))
	a.members = append(a.members, member{sub.by.Outbox(), sub})
}

// remove takes sub out of its audience, if it is in it. The caller holds ch.mu.
func (ch *Channel) remove(sub *Subscription) {
	if !sub.joined() {
		return
	}
	a := ch.audienceOf(sub.dialect)
	last := len(a.members) - 1
	a.members[sub.index] = a.members[last]
	a.members[sub.index].of.index = sub.index
	a.members[last] = member{}
	a.members = a.members[:last]
	sub.index = nowhere
}

// tellBy has the subscription told its messages by a dialect; nil: as before. The caller
// holds ch.mu.
func (ch *Channel) tellBy(sub *Subscription, d *Dialect) {
	if d == nil || d == sub.dialect {
		return
	}
	joined := sub.joined()
	ch.remove(sub)
	if sub.dialect = d; joined {
		ch.add(sub)
	}
}
