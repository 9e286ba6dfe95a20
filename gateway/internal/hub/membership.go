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

// Release removes a session from a channel for good.
func (h *Hub) Release(sub *Subscription) {
	sub.channel.leave(sub)
	h.subscriptions.Add(-1)
	h.letGo(h.Life, sub.channel)
}

// admit puts a subscription among the newcomers, for which it leaves the audience. The caller
// must hold ch.mu.
func (ch *Channel) admit(n *newcomer) {
	ch.remove(n.sub)
	ch.newcomers = append(ch.newcomers, n)
	n.sub.index = nowhere - int32(len(ch.newcomers))
	ch.attend(n.sub)
}

// join adds sub to the audience, if it may still join. The caller must hold ch.mu.
func (ch *Channel) join(sub *Subscription) {
	if sub.joined() || sub.gone {
		return
	}
	ch.remove(sub)
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
