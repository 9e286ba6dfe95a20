package broker

import (
	"context"

	"tidegate/broker/lock"
)

// flights makes equal calls at one time into one. A caller that comes while a call is
// under way waits for the next one, which is for all that came meanwhile: what it finds
// is no older than the question. The zero value is ready; do may be called concurrently.
type flights[K comparable, V any] struct {
	mu    lock.Mutex[lock.Flights]
	under map[K]*flight[V] // under way; its next is for those who wait
}

type flight[V any] struct {
	done  chan struct{} // closed when value and err are set
	value V
	err   error
	next  *flight[V] // nil: nobody waits; guarded by the flights' mu
}

// do returns what f returns, called by this caller or by another one that came at the
// same time with the same key. f goes on if ctx ends.
func (g *flights[K, V]) do(ctx context.Context, key K, f func() (V, error)) (V, error) {
	own := g.board(key, f)
	select {
	case <-own.done:
		return own.value, own.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// board returns the flight that serves a caller that comes now.
func (g *flights[K, V]) board(key K, f func() (V, error)) *flight[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	current := g.under[key]
	if current == nil {
		current = &flight[V]{done: make(chan struct{})}
		if g.under == nil {
			g.under = make(map[K]*flight[V])
		}
		g.under[key] = current
		go g.fly(key, current, f)
		return current
	}
	if current.next == nil {
		current.next = &flight[V]{done: make(chan struct{})}
	}
	return current.next
}

// fly calls f for one flight after the other, until nobody waits.
func (g *flights[K, V]) fly(key K, current *flight[V], f func() (V, error)) {
	for current != nil {
		current.value, current.err = f()
		close(current.done)
		current = g.land(key, current)
	}
}

// land returns the flight that is to follow, or nil.
func (g *flights[K, V]) land(key K, current *flight[V]) *flight[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if current.next == nil {
		delete(g.under, key)
		return nil
	}
	g.under[key] = current.next
	return current.next
}
