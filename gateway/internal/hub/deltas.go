package hub

import "tidegate/broker"

// begin begins a delivery. It returns the last message sent to the subscriptions that
// receive differences, or nil if it is not known. After a delivery that did not end, it is
// not known, since only some of them may have received that message.
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

// end records that m was sent to all subscriptions but those that skipped it.
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
		sub.tellBy(sub.dialect.full)
	}
	d.latest.Keep(m, &ch.all.timelines)
}

// skip records that sub is not sent the present message.
func (d *deltas) skip(sub *Subscription) {
	if sub.dialect.manner != plain {
		d.skipping = append(d.skipping, sub)
	}
}

// moveAll moves all members of an audience to the audience of another dialect.
func (ch *Channel) moveAll(from int, to *Dialect) {
	for len(ch.audiences[from].members) > 0 {
		members := ch.audiences[from].members
		members[len(members)-1].of.tellBy(to)
	}
}

// trimDeltas frees the state for deltas once no subscription has deltas. The caller must
// hold ch.mu.
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
