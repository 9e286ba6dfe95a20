package hub

import (
	"errors"
	"time"
)

// hold returns the channel with the given name, creating it if needed. The channel is not
// removed until the caller calls letGo.
func (h *Hub) hold(name string) *Channel {
	s := h.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.channels[name]
	if ch == nil {
		ch = &Channel{name: name, all: &h.shared}
		ch.rule.Store(h.Rule(name))
		s.channels[name] = ch
		h.channels.Add(1)
	}
	ch.holds++
	return ch
}

// letGo undoes one hold. The last one ends the channel's subscription at the broker. A
// channel with history lingers for departLinger, so that a client that comes back soon, as
// long polling does, finds its position and its tail.
func (h *Hub) letGo(ch *Channel) {
	if ch.keepsHistory() && h.shard(ch.name).holds(ch) == 1 {
		h.departing.add(ch, time.Now())
		return
	}
	h.release(ch)
}

// release undoes one hold immediately.
func (h *Hub) release(ch *Channel) {
	shard := h.shard(ch.name)
	if !shard.drop(ch) {
		return
	}
	ch.joining.Lock()
	defer ch.joining.Unlock()
	if shard.holds(ch) > 0 {
		return
	}
	if ch.live {
		ch.live = false
		ch.forgetPosition()
		if err := errors.Join(h.Broker.Unsubscribe(h.Life, ch.name), ch.unfollow(h.Life)); err != nil {
			h.Log.Warn("unsubscribe at the broker", "error", err)
		}
	}
	if shard.forget(ch) {
		ch.retire()
		h.channels.Add(-1)
	}
}

// holds returns how many have a hold of ch.
func (s *shard) holds(ch *Channel) int32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return ch.holds
}

// drop undoes one hold, and reports whether it was the last.
func (s *shard) drop(ch *Channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.holds--
	return ch.holds == 0
}

// forget removes ch, unless it is held again or has been removed already. It reports whether
// it removed ch.
func (s *shard) forget(ch *Channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.holds != 0 {
		return false
	}
	ch.holds = removed
	delete(s.channels, ch.name)
	return true
}

const removed = -1

// retire is called when the hub has removed the channel.
func (ch *Channel) retire() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.retired = true
	if ch.past != nil {
		ch.past.Close()
	}
}

// add takes over the caller's hold of ch.
func (d *departing) add(ch *Channel, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{ch, now})
}

// departLinger is how long a channel with history is kept after its last session has left.
const departLinger = time.Second

// due removes and returns the channels that have lingered for departLinger.
func (d *departing) due(now time.Time) (due []*Channel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 && now.Sub(d.queue[0].since) >= departLinger {
		due = append(due, d.queue[0].ch)
		d.queue[0] = departure{}
		d.queue = d.queue[1:]
	}
	return due
}

// releaseDeparted releases the channels to which nobody has come back, one after the other,
// however many they are. It does not wait for the broker; a release waits while a session is
// joining the same channel.
func (h *Hub) releaseDeparted(now time.Time) {
	due := h.departing.due(now)
	if len(due) == 0 {
		return
	}
	h.Background.Go(func() {
		for _, ch := range due {
			h.release(ch)
		}
	})
}

// Sweep does periodic cleanup. It must be called once a second.
func (h *Hub) Sweep(now time.Time) {
	h.releaseDeparted(now)
	h.timelines.Sweep(now)
}
