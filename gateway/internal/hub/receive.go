package hub

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Receive delivers a message to every subscriber of its channel on this node. It retains
// what m points to, but not m itself. Calls for the same channel must not be concurrent.
func (h *Hub) Receive(m *broker.Message) {
	name := m.Channel
	defer h.Wall.Catch("deliver a message", func() { h.tellMissed(name) })
	if ch := h.find(name); ch != nil {
		ch.receive(m)
	}
}

// tellMissed tells the audience of a channel of a panic, after which a message may not have
// reached all of it. The channel's timeline already counts the message as delivered, so no
// repair would send it again.
func (h *Hub) tellMissed(name string) {
	h.Background.Go(func() {
		if ch := h.find(name); ch != nil {
			ch.tellMissed()
		}
	})
}

// tellMissed implements Hub.tellMissed.
func (ch *Channel) tellMissed() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.announceGap()
}

// receive takes a message from the broker. It ignores the message's position unless the rule
// says that the channel keeps a history.
func (ch *Channel) receive(m *broker.Message) {
	keeps := ch.keepsHistory()
	e := ch.all.entry(keeps)
	e.Message = *m
	if ch.rule.Load().Bare { // its publishers may not know the envelope format
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

// entry returns an empty entry. Only an entry that will not be kept may come from the pool.
func (s *shared) entry(kept bool) *timeline.Entry {
	if !kept {
		if e, ok := s.entries.Get().(*timeline.Entry); ok {
			return e
		}
	}
	return new(timeline.Entry)
}

// giveEntry returns an entry to the pool. Nothing may refer to it any more.
func (s *shared) giveEntry(e *timeline.Entry) {
	*e = timeline.Entry{}
	s.entries.Put(e)
}

// receiveNext takes a message of a channel that has a past. The caller must hold ch.mu.
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
