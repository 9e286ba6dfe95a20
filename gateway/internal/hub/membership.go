package hub

// Reserve returns a place on a channel for a session that speaks a dialect, to be released.
// It hears nothing there before a Join. ok is false if there are as many places as there
// may be.
func (h *Hub) Reserve(channel string, by Subscriber, d *Dialect, t Terms) (sub Subscription, ok bool) {
	if n := h.subscriptions.Add(1); h.Config.Subscriptions > 0 && n > int64(h.Config.Subscriptions) {
		h.subscriptions.Add(-1)
		return Subscription{}, false
	}
	return Subscription{channel: h.hold(channel), by: by, dialect: d, terms: t, index: nowhere}, true
}

// Release takes a session off a channel for good.
func (h *Hub) Release(sub *Subscription) {
	sub.channel.leave(sub)
	h.subscriptions.Add(-1)
	h.letGo(h.Life, sub.channel)
}

// join adds sub to the audience. The caller holds ch.mu.
func (ch *Channel) join(sub *Subscription) {
	if sub.joined() || sub.gone {
		return
	}
	if sub.dialect.manner == differing {
		sub.dialect = sub.dialect.full
	}
	ch.add(sub)
	ch.attend(sub)
}

// leave removes sub from the audience for good.
func (ch *Channel) leave(sub *Subscription) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	sub.gone = true
	ch.remove(sub)
	if ch.rule.Load().Conflate {
		sub.by.Outbox().DropLatest(ch)
	}
	ch.trimDeltas()
	ch.attend(sub)
}
