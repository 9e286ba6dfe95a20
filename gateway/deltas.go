package gateway

import (
	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// deltas is what a channel keeps while there are subscriptions with deltas. Who has just
// come, or was not told the last message, is told the next one whole; by that it becomes
// one of those who are told what differs. It is guarded by the channel's mu.
type deltas struct {
	latest    timeline.Latest // what those who are told what differs were told last
	open      bool            // a message is on its way to the audiences
	skipping  []*subscription // that are not to hear it
	conflated bool            // what waits may have been replaced: all is told whole
}

// begin returns the message that those were told before who are told what differs; nil:
// it is not known. A delivery that has not ended may have told some of them.
func (d *deltas) begin(ch *channel) (before *broker.Message) {
	if d == nil {
		return nil
	}
	if d.open {
		d.latest.Drop(&ch.hub.timelines)
	}
	d.open, d.skipping = true, d.skipping[:0]
	return d.latest.Message()
}

// end notes that all were told a message but those that have skipped it.
func (d *deltas) end(ch *channel, m *broker.Message, conflated bool) {
	if d == nil {
		return
	}
	d.open, d.conflated = false, d.conflated || conflated
	if d.conflated {
		d.latest.Drop(&ch.hub.timelines)
		return
	}
	for i := range ch.audiences {
		if told := ch.audiences[i].dialect; told.manner == full {
			ch.moveAll(i, told.differing)
		}
	}
	for _, sub := range d.skipping {
		ch.tellBy(sub, sub.dialect.full)
	}
	d.latest.Keep(m, &ch.hub.timelines)
}

// skip notes that a subscription is not told the message at hand.
func (d *deltas) skip(sub *subscription) {
	if sub.dialect.manner != plain {
		d.skipping = append(d.skipping, sub)
	}
}

// moveAll moves the members of an audience to that of another dialect.
func (ch *channel) moveAll(from int, to *dialect) {
	for len(ch.audiences[from].members) > 0 {
		members := ch.audiences[from].members
		ch.tellBy(members[len(members)-1].of, to)
	}
}

// tellBy has the subscription told its messages by a dialect; nil: as before. The caller
// holds ch.mu.
func (ch *channel) tellBy(sub *subscription, d *dialect) {
	if d == nil || d == sub.dialect {
		return
	}
	joined := sub.joined
	ch.remove(sub)
	if sub.dialect = d; joined {
		ch.add(sub)
	}
}

// trimDeltas lets go of what is kept for subscriptions with deltas once there are none.
// The caller holds ch.mu.
func (ch *channel) trimDeltas() {
	if ch.deltas == nil {
		return
	}
	for i := range ch.audiences {
		if a := &ch.audiences[i]; a.dialect.manner != plain && len(a.members) > 0 {
			return
		}
	}
	ch.deltas.latest.Drop(&ch.hub.timelines)
	ch.deltas = nil
}
