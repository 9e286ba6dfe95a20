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

// Channel is a channel to which sessions of this node are subscribed.
//
// A node may have many channels with one session each. To keep Channel small, data that only
// some channels need is stored elsewhere, and small fields are placed next to each other.
type Channel struct {
	// Fixed at birth.
	name string
	all  *shared

	rule atomic.Pointer[rules.Rule] // replaced when the rules are reloaded

	joining lock.Turn[lock.Joining]  // serializes joining and leaving at the broker
	mu      lock.Mutex[lock.Channel] // held during delivery, so that all see one order

	holds    int32 // removed once the hub has removed it; guarded by the shard's mu
	live     bool  // the broker delivers its messages; guarded by joining
	followed bool  // joins and leaves are followed; guarded by joining
	retired  bool  // the hub has removed it; guarded by mu

	// Guarded by mu.
	delivered uint64 // messages delivered to the audience
	audiences audiences
	*past                       // nil if nothing is known of its history or it has none
	delayed   *[]*outbox.Outbox // to be written after the rule's Delay; nil if none
	deltas    *deltas           // nil if no subscription has deltas
}

// shared is the state that all channels of a node share.
type shared struct {
	Config
	following following
	timelines timeline.Store
	repairs   chan struct{} // semaphore: a repair holds a slot while it reads
	received  atomic.Uint64 // number of messages, used for sampling
	resumed   atomic.Uint32 // number of resumptions
	entries   sync.Pool     // of *timeline.Entry, for messages that no history keeps
}

// audiences are the subscriptions of a channel that have joined.
type audiences []audience

// audience is the subscriptions that use the same dialect.
type audience struct {
	dialect *Dialect
	members []member
}

type member struct {
	out *outbox.Outbox
	of  *Subscription
}

// Subscription is a session's place on a channel, from Hub.Reserve to Hub.Release.
type Subscription struct {
	// Fixed at birth.
	channel *Channel
	by      Subscriber
	terms   Terms

	// Guarded by channel.mu.
	gone    bool            // the session has left for good and cannot join again
	index   int32           // in the members of its audience; nowhere if it has not joined
	as      *attendance.Who // what it is counted as; nil if it is not counted
	dialect *Dialect        // encodes its messages
}

// Terms are the options of a subscription.
type Terms struct {
	NoEcho  bool // it does not receive what it has published itself
	Unseen  bool // it is not a member, and backends are not told of it
	Unaware bool // it is not told of joins and leaves
}

// past is what is known of a channel's history, and the reads of it that are under way. It
// is guarded by the channel's mu.
type past struct {
	timeline.Timeline
	repairing *repair    // nil if no repair is under way
	reading   *rangeRead // for clients that resume; nil if none is under way
	failed    *rangeRead // the last read that failed

	// The latest resumptions of the subscriptions whose clients have had their reply, and are being
	// sent what they have missed before they join the audience. nil if there are none.
	newcomers map[*Subscription]*resumption
}

// repair is a repair under way: it reads what the channel has missed from its history,
// and sends it to the audience in order, up to where live messages continue.
type repair struct {
	ch      *Channel
	done    chan struct{} // closed when the repair has ended
	hurry   chan struct{} // signaled when the broker may be reachable again
	counted bool          // a gap was found, and is in the counters; guarded by the channel's mu
}

// rangeRead is a read of the history that several clients may wait for.
type rangeRead struct {
	done     chan struct{}
	outdated bool // the history was cleared during the read; guarded by the channel's mu

	// Valid after done is closed.
	err error
	end time.Time
}

// deltas is the state of a channel that has subscriptions with deltas. A subscription that
// has just joined, or was not sent the last message, is sent the next one in full; after
// that, it receives differences. The channel's mu guards deltas.
type deltas struct {
	latest    timeline.Latest // the last message sent to those that receive differences
	open      bool            // a delivery has begun and not ended
	skipping  []*Subscription // subscriptions that skip this message
	conflated bool            // queued messages may be replaced, so all are sent in full
}

// Name returns the channel's name.
func (ch *Channel) Name() string { return ch.name }

// Channel returns the name of the subscription's channel.
func (sub *Subscription) Channel() string { return sub.channel.name }

// Unseen reports whether the session is hidden: it is not a member of the channel.
func (sub *Subscription) Unseen() bool { return sub.terms.Unseen }

// joined reports whether the subscription is in its audience. The caller must hold the
// channel's mu.
func (sub *Subscription) joined() bool { return sub.index >= 0 }

// nowhere is the index of a subscription that is in no audience.
const nowhere = -1

// skips reports whether the session must not receive the message, or has published it and
// wants no echo.
func (sub *Subscription) skips(m *broker.Message) bool {
	return m.Except != "" && sub.by.ID() == m.Except || sub.terms.NoEcho && sub.by.ID() == m.Session
}

// Audience returns the channel's subscribers and the number of messages delivered to them.
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

func (all audiences) areEmpty() bool {
	return !slices.ContainsFunc(all, func(a audience) bool { return len(a.members) > 0 })
}

// of returns the audience of a dialect.
func (all *audiences) of(d *Dialect) *audience {
	at := slices.IndexFunc(*all, func(a audience) bool { return a.dialect == d })
	if at < 0 {
		at = len(*all)
		*all = append(*all, audience{dialect: d})
	}
	return &(*all)[at]
}

// add adds a subscription, which must not be there yet.
func (all *audiences) add(sub *Subscription) {
	a := all.of(sub.dialect)
	sub.index = int32(len(a.members))
	a.members = append(a.members, member{sub.by.Outbox(), sub})
}

// remove removes a subscription that has joined.
func (all *audiences) remove(sub *Subscription) {
	a := all.of(sub.dialect)
	last := len(a.members) - 1
	a.members[sub.index] = a.members[last]
	a.members[sub.index].of.index = sub.index
	a.members[last] = member{}
	a.members = a.members[:last]
	sub.index = nowhere
}

// newcome adds a newcomer, whose subscription must be in no audience. It takes the place of an
// earlier resumption of the subscription.
func (p *past) newcome(c *resumption) {
	if p.newcomers == nil {
		p.newcomers = make(map[*Subscription]*resumption)
	}
	p.newcomers[c.Sub] = c
}

// arrivals returns the newcomers as audiences, which are good for sending only.
func (p *past) arrivals() (list audiences) {
	for sub, c := range p.newcomers {
		a := list.of(sub.dialect)
		a.members = append(a.members, member{c.out(), sub})
	}
	return list
}
