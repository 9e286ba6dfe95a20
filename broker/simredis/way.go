package simredis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Way is how one node reaches its servers: a network of its own that may be cut, slow
// or dead in one direction. All methods may be called concurrently.
type Way struct {
	// Fixed at birth.
	servers *Servers
	roads   roads

	// Guarded by mu.
	mu     sync.Mutex
	broken bool    // nobody can connect
	to     *Server // whatever the address; nil: the one that it leads to
	cables []*cable
}

// NewWay returns a way to the servers. What it carries takes up to usual, as the seed
// has it, and at least a fifth of that.
func (s *Servers) NewWay(seed uint64, usual time.Duration) *Way {
	w := &Way{servers: s, roads: roads{usual: usual, random: rand.New(rand.NewPCG(seed, 1))}}
	w.Mend()
	return w
}

// Dial is for broker.RedisConfig.
func (w *Way) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	r := &w.roads
	arrives, shut := r.arrival(&r.there), r.opened(&r.there)
	if shut == nil {
		shut = r.opened(&r.back)
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
	near, far := lay(r, w.forget)
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
func (w *Way) BlockThere() { w.roads.block(&w.roads.there) }

// BlockBack keeps back all that comes from the servers.
func (w *Way) BlockBack() { w.roads.block(&w.roads.back) }

// Lead has all addresses lead to one server from now on.
func (w *Way) Lead(to *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// Slow has all that is written from now on take up to so long, either way.
func (w *Way) Slow(takes time.Duration) { w.roads.slow(takes) }

// Mend ends all that is wrong: what was kept back arrives.
func (w *Way) Mend() {
	w.mu.Lock()
	w.broken, w.to = false, nil
	w.mu.Unlock()
	w.roads.mend()
}

func (w *Way) forget(c *cable) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cables = slices.DeleteFunc(w.cables, func(other *cable) bool { return other == c })
}
