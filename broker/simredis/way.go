package simredis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// Way is how one node reaches its servers: a network of its own that may be cut, slow
// or dead in one direction. All methods may be called concurrently.
type Way struct {
	// Fixed at birth.
	servers *Servers
	usual   time.Duration

	// Guarded by mu, which is taken before a stream's.
	mu          sync.Mutex
	there, back road
	broken      bool    // nobody can connect
	to          *Server // whatever the address; nil: the one that it leads to
	cables      []*cable
	random      *rand.Rand
}

// road is one direction.
type road struct {
	takes time.Duration // a chunk at most, and a fifth of it at least
	shut  chan struct{} // closed when it carries again; nil: it carries
}

// NewWay returns a way to the servers. What it carries takes up to usual, as the seed
// has it, and at least a fifth of that.
func (s *Servers) NewWay(seed uint64, usual time.Duration) *Way {
	w := &Way{servers: s, usual: usual, random: rand.New(rand.NewPCG(seed, 1))}
	w.Mend()
	return w
}

// Dial is for broker.RedisConfig.
func (w *Way) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	arrives, shut := w.arrival(&w.there), w.opened(&w.there)
	if back := w.opened(&w.back); shut == nil {
		shut = back
	}
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	await(ctx.Done(), nil, arrives)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	near, far := lay(w)
	w.mu.Lock()
	broken, to := w.broken, w.to
	if !broken {
		w.cables = append(w.cables, near.cable)
	}
	w.mu.Unlock()
	if to == nil {
		to = w.servers.At(address)
	}
	if broken || to == nil || !w.servers.accept(to, far) {
		w.forget(near.cable)
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	return near, nil
}

// Cut breaks the connections that there are.
func (w *Way) Cut() {
	w.mu.Lock()
	cables := w.cables
	w.cables = nil
	w.mu.Unlock()
	for _, c := range cables {
		c.sever()
	}
}

// Break breaks the connections that there are, and lets nobody make others.
func (w *Way) Break() {
	w.mu.Lock()
	w.broken = true
	w.mu.Unlock()
	w.Cut()
}

// BlockThere keeps back all that goes to the servers. What comes from them still comes.
func (w *Way) BlockThere() { w.block(&w.there) }

// BlockBack keeps back all that comes from the servers.
func (w *Way) BlockBack() { w.block(&w.back) }

// Lead has all addresses lead to one server from now on.
func (w *Way) Lead(to *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

func (w *Way) block(r *road) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.shut == nil {
		r.shut = make(chan struct{})
	}
}

// Slow has all that is written from now on take up to so long, either way.
func (w *Way) Slow(takes time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there.takes, w.back.takes = takes, takes
}

// Mend ends all that is wrong: what was kept back arrives.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.to = false, nil
	for _, r := range []*road{&w.there, &w.back} {
		r.takes = w.usual
		if r.shut != nil {
			close(r.shut)
			r.shut = nil
		}
	}
}

// opened returns nil if a road carries, else what is closed when it does again.
func (w *Way) opened(r *road) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return r.shut
}

// arrival returns when what is written now arrives.
func (w *Way) arrival(r *road) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := r.takes / 5
	return time.Now().Add(least + time.Duration(w.random.Int64N(int64(r.takes-least)+1)))
}

func (w *Way) forget(c *cable) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.cables {
		if other == c {
			w.cables = append(w.cables[:i], w.cables[i+1:]...)
			return
		}
	}
}
