package simredis

import (
	"math/rand/v2"
	"sync"
	"time"
)

// roads are the two directions of a way. All methods may be called concurrently.
type roads struct {
	usual time.Duration

	// Guarded by mu.
	mu          sync.Mutex
	there, back road
	random      *rand.Rand
}

// road is one direction, guarded by the mu of both.
type road struct {
	takes time.Duration // a chunk at most, and a fifth of it at least
	shut  chan struct{} // closed when it carries again; nil: it carries
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

// opened returns nil if a road carries, else what is closed when it does again.
func (r *roads) opened(one *road) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return one.shut
}

// arrival returns when what is written now arrives.
func (r *roads) arrival(one *road) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	least := one.takes / 5
	return time.Now().Add(least + time.Duration(r.random.Int64N(int64(one.takes-least)+1)))
}
