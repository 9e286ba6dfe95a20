package broker

import (
	"sync"
	"time"
)

// memoryKeys are the idempotency keys that Memory remembers, and the positions that
// their messages got: for IdempotencyWindow, or until newer ones need the room. The zero
// value is ready; all methods may be called concurrently.
type memoryKeys struct {
	mu    sync.Mutex
	first map[memoryKey]Position
	log   []rememberedKey // oldest first
	bytes int
}

type memoryKey struct{ channel, key string }

type rememberedKey struct {
	memoryKey
	at time.Time
}

// MemoryKeyBytes is about how much of idempotency keys a Memory holds at most.
const MemoryKeyBytes = 32 << 20

// size is about what a key takes, with its places in the map and in the log.
func (k memoryKey) size() int { return len(k.channel) + len(k.key) + 224 }

// position returns where the message went that had a key first, if that is remembered.
func (r *memoryKeys) position(channel, key string, now time.Time) (first Position, known bool) {
	if key == "" {
		return Position{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(func(oldest rememberedKey) bool { return now.Sub(oldest.at) >= IdempotencyWindow })
	first, known = r.first[memoryKey{channel, key}]
	return first, known
}

// remember notes where the message with a new key went.
func (r *memoryKeys) remember(channel, key string, p Position, now time.Time) {
	if key == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first = make(map[memoryKey]Position)
	}
	k := memoryKey{channel, key}
	r.first[k] = p
	r.log = append(r.log, rememberedKey{k, now})
	r.bytes += k.size()
	r.forget(func(rememberedKey) bool { return r.bytes > MemoryKeyBytes })
}

// forget lets go of the oldest ones while they are to go. It is called with mu held.
func (r *memoryKeys) forget(goes func(oldest rememberedKey) bool) {
	for len(r.log) > 0 && goes(r.log[0]) {
		oldest := r.log[0].memoryKey
		delete(r.first, oldest)
		r.bytes -= oldest.size()
		r.log[0] = rememberedKey{}
		r.log = r.log[1:]
	}
}
