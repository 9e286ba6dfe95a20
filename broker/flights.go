package broker

import (
	"context"

	"tidegate/broker/lock"
)

// flights merges equal concurrent calls. A caller that comes while a call is under way
// waits for the next call, which serves all callers that came in the meantime: its result
// is never older than the request. The zero value is ready to use; do is safe for
// concurrent use.
type flights[K comparable, V any] struct {
	mu    lock.Mutex[lock.Flights]
	under map[K]*flight[V] // calls under way, by key; the next of each serves those who wait
}

type flight[V any] struct {
	done  chan struct{} // closed when value and err are set
	value V
	err   error
	next  *flight[V] // nil if nobody waits; guarded by the mu of flights
}

// do returns the result of f, which was called for this caller or for another one with the
// same key at the same time. If ctx ends do returns its error, but f goes on.
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

// fly calls f for one flight after another, until nobody waits.
func (g *flights[K, V]) fly(key K, current *flight[V], f func() (V, error)) {
	for current != nil {
		current.value, current.err = f()
		close(current.done)
		current = g.land(key, current)
	}
}

// land returns the next flight, or nil if nobody waits.
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
