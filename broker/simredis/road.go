package simredis

import (
	"math/rand/v2"
	"sync"
	"time"
)

// roads are the two directions of a Way. It is safe for concurrent use.
type roads struct {
	usual time.Duration // the longest delay when nothing is slow

	// Guarded by mu.
	mu          sync.Mutex
	there, back road
	random      *rand.Rand
}

// road is one direction. It is guarded by roads.mu.
type road struct {
	takes time.Duration // the longest delay of a chunk; the shortest is a fifth of it
	shut  chan struct{} // closed when the block ends; nil if not blocked
}

func (r *roads) block(one *road) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one.shut == nil {
		one.shut = make(chan struct{})
	}
}

func (r *roads) slow(takes time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.there.takes, r.back.takes = takes, takes
}

func (r *roads) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range []*road{&r.there, &r.back} {
		one.takes = r.usual
		if one.shut != nil {
			close(one.shut)
			one.shut = nil
		}
	}
}

// opened returns nil if a road is not blocked, or a channel that is closed when the block ends.
func (r *roads) opened(one *road) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return one.shut
}

// arrival returns the time at which data written now arrives.
func (r *roads) arrival(one *road) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	least := one.takes / 5
	return time.Now().Add(least + time.Duration(r.random.Int64N(int64(one.takes-least)+1)))
}
