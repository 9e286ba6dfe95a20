package gateway

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/internal/timeline"
)

// hub knows who listens to what on this node, and is what the broker tells of
// messages. All methods may be called concurrently.
type hub struct {
	gateway *Gateway
	seed    maphash.Seed
	shards  [64]hubShard

	departing departing
	following following
	timelines timeline.Store

	channels      atomic.Int64
	subscriptions atomic.Int64
	received      atomic.Uint64 // to sample from
}

type hubShard struct {
	mu       lock.RWMutex[lock.Shard]
	channels map[string]*channel
}

var _ broker.Receiver = (*hub)(nil)

func newHub(g *Gateway) *hub {
	h := &hub{gateway: g, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].channels = make(map[string]*channel)
	}
	return h
}

func (h *hub) shard(name string) *hubShard {
	return &h.shards[maphash.String(h.seed, name)%uint64(len(h.shards))]
}

// countSubscription counts one more if there are fewer than most; 0: no limit.
func (h *hub) countSubscription(most int) bool {
	if n := h.subscriptions.Add(1); most > 0 && n > int64(most) {
		h.subscriptions.Add(-1)
		return false
	}
	return true
}

// hold returns a channel that will not go away until it is let go, making it if
// there is none.
func (h *hub) hold(name string) *channel {
	shard := h.shard(name)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	ch := shard.channels[name]
	if ch == nil {
		ch = &channel{name: name, hub: h}
		ch.rule.Store(h.gateway.rule(name))
		shard.channels[name] = ch
		h.channels.Add(1)
	}
	ch.holds++
	return ch
}

// letGo undoes one hold. The last one ends the channel's subscription at the
// broker; of a channel with history not at once, so that who comes back shortly,
// as long-polls do, finds its position and its tail.
func (h *hub) letGo(ctx context.Context, ch *channel) {
	if ch.keepsHistory() && h.shard(ch.name).isLast(ch) {
		h.departing.add(ch, time.Now())
		return
	}
	h.release(ctx, ch)
}

// release undoes one hold at once.
func (h *hub) release(ctx context.Context, ch *channel) {
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
		if err := errors.Join(h.gateway.broker.Unsubscribe(ctx, ch.name), h.unfollow(ctx, ch)); err != nil {
			h.gateway.log.Warn("unsubscribe at the broker", "error", err)
		}
	}
	if shard.forget(ch) {
		ch.retire()
		h.channels.Add(-1)
	}
}

// isLast reports whether there is but one hold of ch, the caller's.
func (shard *hubShard) isLast(ch *channel) bool {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return ch.holds == 1
}

// drop reports whether nobody holds ch any more.
func (shard *hubShard) drop(ch *channel) bool {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	ch.holds--
	return ch.holds == 0
}

func (shard *hubShard) held(ch *channel) bool {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return ch.holds > 0
}

// forget removes ch, unless somebody holds it again or has removed it already.
func (shard *hubShard) forget(ch *channel) bool {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if ch.holds > 0 || shard.channels[ch.name] != ch {
		return false
	}
	delete(shard.channels, ch.name)
	return true
}

func (h *hub) find(name string) *channel {
	shard := h.shard(name)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.channels[name]
}

// each calls do for every channel, holding no lock.
func (h *hub) each(do func(*channel)) {
	for i := range h.shards {
		for _, ch := range h.shards[i].list() {
			do(ch)
		}
	}
}

func (shard *hubShard) list() []*channel {
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	channels := make([]*channel, 0, len(shard.channels))
	for _, ch := range shard.channels {
		channels = append(channels, ch)
	}
	return channels
}

// Receive hands a message to everyone here who listens to its channel.
func (h *hub) Receive(m broker.Message) {
	name := m.Channel
	defer h.gateway.wall.Catch("deliver a message", func() { h.tellMissed(name) })
	if name, ok := broker.CutPresenceChannel(name); ok {
		notice := m // apart from m, which ordinary messages need no memory for
		h.gateway.attendance.Receive(name, &notice)
		return
	}
	if cluster.IsReserved(name) {
		request := m
		h.gateway.cluster.Receive(&request)
		return
	}
	messages := &h.gateway.metrics.Messages
	if m.Time.IsZero() {
		messages.Bare.Inc()
	} else {
		messages.Enveloped.Inc()
	}
	if ch := h.find(name); ch != nil {
		ch.receive(&m)
	}
}

// tellMissed is for a message that may not have reached all of its audience. To the
// channel's timeline it has: no repair brings it.
func (h *hub) tellMissed(name string) {
	h.gateway.background.Go(func() {
		if ch := h.find(name); ch != nil {
			ch.mu.Lock()
			defer ch.mu.Unlock()
			ch.announceGap()
		}
	})
}

// Rest writes what Receive has left to be written.
func (h *hub) Rest() { h.gateway.line.Help() }

// Gap repairs the channels, or tells their sessions.
func (h *hub) Gap(names []string, err error) {
	if slices.ContainsFunc(names, cluster.IsReserved) {
		h.gateway.cluster.Missed()
	}
	if a := h.gateway.attendance; a != nil {
		a.Missed()
	}
	h.gateway.log.Warn("messages may have been missed", "channels", len(names), "error", err)
	h.gateway.background.Go(func() {
		for _, name := range names {
			if ch := h.find(name); ch != nil {
				ch.missed()
			}
		}
	})
}

// Link notes whether the broker can be used.
func (h *hub) Link(err error) {
	h.gateway.cluster.Link(err)
	h.gateway.noteLink(err)
	if a := h.gateway.attendance; a != nil {
		a.Link(err)
	}
}

// departing are the channels with history that nobody listens to any more, with
// one hold each, until they are released. All methods may be called concurrently.
type departing struct {
	mu    lock.Mutex[lock.Departing]
	queue []departure // in the order of since
}

type departure struct {
	ch    *channel
	since time.Time
}

// add takes over a hold of ch.
func (d *departing) add(ch *channel, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, departure{ch, now})
}
