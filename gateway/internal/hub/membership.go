package hub

// Reserve returns a place on a channel for a session that uses dialect d. The session
// receives nothing until it has joined by a Join. The caller must call Release at the end.
// ok is false if the limit on subscriptions has been reached.
func (h *Hub) Reserve(channel string, by Subscriber, d *Dialect, t Terms) (sub Subscription, ok bool) {
	if n := h.subscriptions.Add(1); h.Config.Subscriptions > 0 && n > int64(h.Config.Subscriptions) {
		h.subscriptions.Add(-1)
		return Subscription{}, false
	}
	return Subscription{channel: h.hold(channel), by: by, dialect: d, terms: t, index: nowhere}, true
}

// Release removes a session from a channel for good. It may wait for the broker.
func (h *Hub) Release(sub *Subscription) {
	sub.Leave()
	h.subscriptions.Add(-1)
	h.letGo(sub.channel)
}

// Leave does the part of Release that ends the session's messages, and does not wait.
func (sub *Subscription) Leave() {
	ch := sub.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.gone {
		return
	}
	sub.gone = true
	sub.withdraw()
	if ch.rule.Load().Conflate {
		sub.by.Outbox().DropLatest(ch)
	}
	ch.trimDeltas()
	sub.attend()
}

// The caller of the following functions must hold the channel's mu.

// join adds the subscription to the audience, if it may still join.
func (sub *Subscription) join() {
	if sub.joined() || sub.gone {
		return
	}
	sub.withdraw()
	if sub.dialect.manner == differing {
		sub.dialect = sub.dialect.full
	}
	sub.enter()
	sub.attend()
}

// enter adds the subscription to the audience of its dialect.
func (sub *Subscription) enter() {
	ch := sub.channel
	if sub.dialect.manner != plain && ch.deltas == nil {
		ch.deltas = new(deltas)
	}
	ch.audiences.add(sub)
}

// withdraw removes the subscription from its audience or from the newcomers, if it is there.
func (sub *Subscription) withdraw() {
	ch := sub.channel
	switch {
	case sub.joined():
		ch.audiences.remove(sub)
	case ch.past != nil:
		if delete(ch.newcomers, sub); len(ch.newcomers) == 0 {
			ch.newcomers = nil
		}
	}
}

// tellBy makes d the dialect of the subscription. A nil d changes nothing.
func (sub *Subscription) tellBy(d *Dialect) {
	switch {
	case d == nil || d == sub.dialect:
	case sub.joined():
		sub.withdraw()
		sub.dialect = d
		sub.enter()
	default:
		sub.dialect = d
	}
}
