package hub

import "tidegate/gateway/rules"

// Reload looks up the rules of all channels again.
func (h *Hub) Reload() {
	h.Each(func(ch *Channel) { ch.setRule(h.Rule(ch.name)) })
}

// FollowAll follows joins and leaves on the live channels whose rules now ask for it.
func (h *Hub) FollowAll() { h.Each((*Channel).followLive) }

// setRule replaces the channel's rule. If the channel no longer conflates, it queues the
// messages that were held for that as ordinary messages.
func (ch *Channel) setRule(rule *rules.Rule) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if was := ch.rule.Swap(rule); !was.Conflate || rule.Conflate {
		return
	}
	woken := woken{ch: ch}
	for _, a := range ch.audiences {
		for i := range a.members {
			m := &a.members[i]
			woken.add(m, m.out.QueueLatest(ch, ch.all.Outboxes))
		}
	}
	woken.rouse()
}
