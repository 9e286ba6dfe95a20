package hub

import "tidegate/gateway/rules"

// Reload looks up the rules of all channels anew.
func (h *Hub) Reload() {
	h.Each(func(ch *Channel) { ch.setRule(h.Rule(ch.name)) })
}

// FollowAll sees to it that joins and leaves are heard of the channels whose rules say so
// by now.
func (h *Hub) FollowAll() { h.Each((*Channel).followLive) }

// WriteDelayed has written at once what waits for company.
func (h *Hub) WriteDelayed() { h.Each((*Channel).rouseDelayed) }

// setRule replaces the channel's rule.
func (ch *Channel) setRule(rule *rules.Rule) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if was := ch.rule.Swap(rule); !was.Conflate || rule.Conflate {
		return
	}
	woken := ch.wakes()
	for _, a := range ch.audiences {
		for i := range a.members {
			m := &a.members[i]
			woken.add(m, m.out.QueueLatest(ch, ch.all.Outboxes))
		}
	}
	woken.rouse()
}
