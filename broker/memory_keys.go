package broker

import (
	"sync"
	"time"
)

// memoryKeys remembers idempotency keys and the positions of their messages, for
// IdempotencyWindow or until newer keys need the room. The zero value is ready to use; all
// methods are safe for concurrent use.
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

// MemoryKeyBytes is about the most memory that a Memory uses for idempotency keys, in
// bytes.
const MemoryKeyBytes = 32 << 20

// size estimates the memory of a key in bytes, with its entries in the map and the log.
func (k memoryKey) size() int { return len(k.channel) + len(k.key) + 224 }

// position returns the position of the first message with a key, if the key is known.
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

// remember records the position of the message with a new key.
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

// forget removes the oldest keys for as long as goes returns true. The caller must hold mu.
func (r *memoryKeys) forget(goes func(oldest rememberedKey) bool) {
	for len(r.log) > 0 && goes(r.log[0]) {
		oldest := r.log[0].memoryKey
		delete(r.first, oldest)
		r.bytes -= oldest.size()
		r.log[0] = rememberedKey{}
		r.log = r.log[1:]
	}
}
