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

// Way is the network between one node and the servers, which may be cut, slow, or dead in one
// direction. It is safe for concurrent use.
type Way struct {
	// Immutable.
	servers *Servers
	roads   roads

	// Guarded by mu.
	mu     sync.Mutex
	broken bool    // new connections are refused
	to     *Server // where all addresses lead, if not nil
	cables []*cable
}

// NewWay returns a Way to the servers. Its delays are random, between a fifth of usual and
// usual, and derive from the seed.
func (s *Servers) NewWay(seed uint64, usual time.Duration) *Way {
	w := &Way{servers: s, roads: roads{usual: usual, random: rand.New(rand.NewPCG(seed, 1))}}
	w.Mend()
	return w
}

// Dial connects to the server at an address. It is meant for broker.RedisConfig.
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

// Cut resets all connections.
func (w *Way) Cut() {
	w.mu.Lock()
	cables := w.cables
	w.cables = nil
	w.mu.Unlock()
	for _, c := range cables {
		c.sever()
	}
}

// Break resets all connections and refuses new ones.
func (w *Way) Break() {
	w.mu.Lock()
	w.broken = true
	w.mu.Unlock()
	w.Cut()
}

// BlockThere holds back all data to the servers. Data from them still arrives.
func (w *Way) BlockThere() { w.roads.block(&w.roads.there) }

// BlockBack holds back all data from the servers.
func (w *Way) BlockBack() { w.roads.block(&w.roads.back) }

// Lead makes all addresses lead to one server, for new connections.
func (w *Way) Lead(to *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// Slow sets the longest delay for data written from now on, in both directions.
func (w *Way) Slow(takes time.Duration) { w.roads.slow(takes) }

// Mend ends all faults. Data that was held back arrives.
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
