package hub

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Receive hands a message to everyone here who listens to its channel. It keeps what m
// points to, but not m. Calls for one channel must not overlap.
func (h *Hub) Receive(m *broker.Message) {
	name := m.Channel
	defer h.Wall.Catch("deliver a message", func() { h.tellMissed(name) })
	if ch := h.find(name); ch != nil {
		ch.receive(m)
	}
}

// tellMissed is for a message that may not have reached all of its audience. To the
// channel's timeline it has: no repair brings it.
func (h *Hub) tellMissed(name string) {
	h.Background.Go(func() {
		if ch := h.find(name); ch != nil {
			ch.mu.Lock()
			defer ch.mu.Unlock()
			ch.announceGap()
		}
	})
}

// receive takes a message from the broker. A position is one of the channel's history
// only if its rule says that it keeps one.
func (ch *Channel) receive(m *broker.Message) {
	keeps := ch.keepsHistory()
	e := ch.all.entry(keeps)
	e.Message = *m
	if ch.rule.Load().Bare { // its publishers need not know of envelopes
		e.Message = m.Bare()
	}
	if ch.all.received.Add(1)%sampleOneOf == 0 {
		e.Received = time.Now()
	}
	if !keeps {
		e.Message.Position = broker.Position{}
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if keeps || ch.past != nil {
		ch.recall()
		ch.receiveNext(e)
		return
	}
	ch.deliver(e)
	ch.all.giveEntry(e)
}

const sampleOneOf = 16

// entry returns an empty entry: what may be kept gets memory of its own.
func (s *shared) entry(kept bool) *timeline.Entry {
	if !kept {
		if e, ok := s.entries.Get().(*timeline.Entry); ok {
			return e
		}
	}
	return new(timeline.Entry)
}

// giveEntry takes back an entry that nobody knows of any more.
func (s *shared) giveEntry(e *timeline.Entry) {
	*e = timeline.Entry{}
	s.entries.Put(e)
}

// receiveNext takes a message of a channel that has a past. The caller holds ch.mu.
func (ch *Channel) receiveNext(e *timeline.Entry) {
	if e.Message.Position.IsZero() {
		if !e.Message.Transient {
			ch.NoteUnkept()
		}
		ch.deliver(e)
		return
	}
	switch ch.Next(e, time.Now()) {
	case timeline.Deliver:
		ch.deliver(e)
	case timeline.Gap:
		ch.runRepair()
	}
}
