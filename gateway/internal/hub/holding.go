package hub

import (
	"context"
	"errors"
	"time"
)

// hold returns a channel that will not go away until it is let go, making it if
// there is none.
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

// letGo undoes one hold. The last one ends the channel's subscription at the
// broker; of a channel with history not at once, so that who comes back shortly,
// as long-polls do, finds its position and its tail.
func (h *Hub) letGo(ctx context.Context, ch *Channel) {
	if ch.keepsHistory() && h.shard(ch.name).isLast(ch) {
		h.departing.add(ch, time.Now())
		return
	}
	h.release(ctx, ch)
}

// release undoes one hold at once.
func (h *Hub) release(ctx context.Context, ch *Channel) {
	shard := h.shard(ch.name)
	if !shard.drop(ch) {
		return
	}
	ch.joining.Lock()
	defer ch.joining.Unlock()
	if shard.held(ch) {
		return
	}
	if ch.live {
		ch.live = false
		ch.forgetPosition()
		if err := errors.Join(h.Broker.Unsubscribe(ctx, ch.name), ch.unfollow(ctx)); err != nil {
			h.Log.Warn("unsubscribe at the broker", "error", err)
		}
	}
	if shard.forget(ch) {
		ch.retire()
		h.channels.Add(-1)
	}
}

// isLast reports whether there is but one hold of ch, the caller's.
func (s *shard) isLast(ch *Channel) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return ch.holds == 1
}

// drop reports whether nobody holds ch any more.
func (s *shard) drop(ch *Channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch.holds--
	return ch.holds == 0
}

func (s *shard) held(ch *Channel) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return ch.holds > 0
}

// forget removes ch, unless somebody holds it again or has removed it already.
func (s *shard) forget(ch *Channel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.holds > 0 || s.channels[ch.name] != ch {
		return false
	}
	delete(s.channels, ch.name)
	return true
}

// retire is for a channel that has gone from the hub.
func (ch *Channel) retire() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.retired = true
	if ch.past != nil {
		ch.past.Close()
	}
}

// add takes over a hold of ch.
func (d *departing) add(ch *Channel, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{ch, now})
}

// departLinger is how long a channel with history is kept after its last session.
const departLinger = time.Second

// due returns the channels whose time has come.
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

// releaseDeparted lets go of the channels that nobody has come back to. It does
// not wait for the broker, as a release does while somebody is just coming.
func (h *Hub) releaseDeparted(now time.Time) {
	due := h.departing.due(now)
	if len(due) == 0 {
		return
	}
	h.Background.Go(func() {
		for _, ch := range due {
			h.release(h.Life, ch)
		}
	})
}

// Sweep does what is due each second.
func (h *Hub) Sweep(now time.Time) {
	h.releaseDeparted(now)
	h.timelines.Sweep(now)
}
