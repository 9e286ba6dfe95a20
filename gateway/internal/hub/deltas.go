package hub

import "tidegate/broker"

// begin returns the message that those were told before who are told what differs; nil:
// it is not known. A delivery that has not ended may have told some of them.
func (d *deltas) begin(all *shared) (before *broker.Message) {
	if d == nil {
		return nil
	}
	if d.open {
		d.latest.Drop(&all.timelines)
	}
	d.open, d.skipping = true, d.skipping[:0]
	return d.latest.Message()
}

// end notes that all were told a message but those that have skipped it.
func (d *deltas) end(ch *Channel, m *broker.Message, conflated bool) {
	if d == nil {
		return
	}
	d.open, d.conflated = false, d.conflated || conflated
	if d.conflated {
		d.latest.Drop(&ch.all.timelines)
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
	d.latest.Keep(m, &ch.all.timelines)
}

// skip notes that a subscription is not told the message at hand.
func (d *deltas) skip(sub *Subscription) {
	if sub.dialect.manner != plain {
		d.skipping = append(d.skipping, sub)
	}
}

// moveAll moves the members of an audience to that of another dialect.
func (ch *Channel) moveAll(from int, to *Dialect) {
	for len(ch.audiences[from].members) > 0 {
		members := ch.audiences[from].members
		ch.tellBy(members[len(members)-1].of, to)
	}
}

// trimDeltas lets go of what is kept for subscriptions with deltas once there are none.
// The caller holds ch.mu.
func (ch *Channel) trimDeltas() {
	if ch.deltas == nil {
		return
	}
	for i := range ch.audiences {
		if a := &ch.audiences[i]; a.dialect.manner != plain && len(a.members) > 0 {
			return
		}
	}
	ch.deltas.latest.Drop(&ch.all.timelines)
	ch.deltas = nil
}
