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
	usual   time.Duration // the longest delay when nothing is slow

	// Guarded by mu.
	mu          sync.Mutex
	random      *rand.Rand
	there, back road
	broken      bool    // new connections are refused
	to          *Server // where all addresses lead, if not nil
	cables      []*cable
}

// road is one direction of a Way, and guarded by its mu.
type road struct {
	takes time.Duration // the longest delay of a chunk; the shortest is a fifth of it
	shut  chan struct{} // closed when the block ends; nil if not blocked
}

// NewWay returns a Way to the servers. Its delays are random, between a fifth of usual and
// usual, and derive from the seed.
func (s *Servers) NewWay(seed uint64, usual time.Duration) *Way {
	w := &Way{servers: s, usual: usual, random: rand.New(rand.NewPCG(seed, 1))}
	w.Mend()
	return w
}

// Dial connects to the server at an address. It is meant for broker.RedisConfig.
func (w *Way) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	arrives, shut := w.arrival(&w.there), w.opened(&w.there)
	if shut == nil {
		shut = w.opened(&w.back)
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
	near, far := w.lay()
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
func (w *Way) BlockThere() { w.block(&w.there) }

// BlockBack holds back all data from the servers.
func (w *Way) BlockBack() { w.block(&w.back) }

func (w *Way) block(one *road) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.shut == nil {
		one.shut = make(chan struct{})
	}
}

// Lead makes all addresses lead to one server, for new connections.
func (w *Way) Lead(to *Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// Slow sets the longest delay for data written from now on, in both directions.
func (w *Way) Slow(takes time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there.takes, w.back.takes = takes, takes
}

// Mend ends all faults. Data that was held back arrives.
func (w *Way) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.to = false, nil
	for _, one := range []*road{&w.there, &w.back} {
		one.takes = w.usual
		if one.shut != nil {
			close(one.shut)
			one.shut = nil
		}
	}
}

// opened returns nil if a road is not blocked, or a channel that is closed when the block ends.
func (w *Way) opened(one *road) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return one.shut
}

// arrival returns the time at which data written now arrives.
func (w *Way) arrival(one *road) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := one.takes / 5
	return time.Now().Add(least + time.Duration(w.random.Int64N(int64(one.takes-least)+1)))
}

func (w *Way) forget(c *cable) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cables = slices.DeleteFunc(w.cables, func(other *cable) bool { return other == c })
}
