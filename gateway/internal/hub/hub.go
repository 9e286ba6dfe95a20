package hub

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
)

// Hub holds the channels of this node and their subscribers. It is safe for concurrent use.
type Hub struct {
	shared
	seed   maphash.Seed
	shards [64]shard

	departing departing

	channels      atomic.Int64
	subscriptions atomic.Int64
}

type shard struct {
	mu       lock.RWMutex[lock.Shard]
	channels map[string]*Channel
}

// New returns a Hub without channels.
func New(c Config) *Hub {
	h := &Hub{shared: shared{Config: c, repairs: make(chan struct{}, concurrentRepairs)}, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].channels = make(map[string]*Channel)
	}
	return h
}

const concurrentRepairs = 64

// Channels returns the number of channels; Subscriptions returns the number of
// subscriptions.
func (h *Hub) Channels() int      { return int(h.channels.Load()) }
func (h *Hub) Subscriptions() int { return int(h.subscriptions.Load()) }

// Each calls do for every channel, without holding a lock.
func (h *Hub) Each(do func(*Channel)) {
	for i := range h.shards {
		for _, ch := range h.shards[i].list() {
			do(ch)
		}
	}
}

// Audience returns the subscribers of a channel on this node.
func (h *Hub) Audience(channel string) []Subscriber {
	ch := h.find(channel)
	if ch == nil {
		return nil
	}
	list, _ := ch.Audience()
	return list
}

func (h *Hub) shard(name string) *shard {
	return &h.shards[maphash.String(h.seed, name)%uint64(len(h.shards))]
}

func (h *Hub) find(name string) *Channel {
	s := h.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[name]
}

func (s *shard) list() []*Channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.AppendSeq(make([]*Channel, 0, len(s.channels)), maps.Values(s.channels))
}

// departing holds the channels with history that have no subscriber any more, until they are
// released. It has one hold of each. It is safe for concurrent use.
type departing struct {
	mu    lock.Mutex[lock.Departing]
	queue []departure // ordered by since
}

type departure struct {
	ch    *Channel
	since time.Time
}
