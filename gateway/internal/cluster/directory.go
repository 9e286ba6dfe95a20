package cluster

import (
	"encoding/json"
	"slices"
	"time"

	"tidegate/broker/lock"
)

// directory holds the other live nodes: those whose lease, counted from their last hello,
// has not ended. All methods are safe for concurrent use.
type directory struct {
	// Guarded by mu.
	mu    lock.Mutex[lock.Nodes]
	nodes map[string]listing
}

type listing struct {
	hello
	until time.Time // when the lease ends
}

// hear records a hello, unless the directory is full. It reports whether the node is new.
func (d *directory) hear(h hello, now time.Time) (fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.nodes[h.Node]
	if !known && len(d.nodes) == mostNodes {
		return false
	}
	d.nodes[h.Node] = listing{h, now.Add(h.lease())}
	return !known
}

// has reports whether a node is known.
func (d *directory) has(node string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.nodes[node]
	return known
}

// forget removes a node that has left and reports whether it was known.
func (d *directory) forget(node string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.nodes[node]
	delete(d.nodes, node)
	return known
}

// renew restarts all leases, because no node could be heard for a while.
func (d *directory) renew(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for node, l := range d.nodes {
		l.until = now.Add(l.lease())
		d.nodes[node] = l
	}
}

// expire removes the nodes whose lease has ended and returns their names.
func (d *directory) expire(now time.Time) (dead []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for node, l := range d.nodes {
		if !l.until.After(now) {
			delete(d.nodes, node)
			dead = append(dead, node)
		}
	}
	slices.Sort(dead)
	return dead
}

// nextEnd returns when the first lease ends, or the zero time if there is none.
func (d *directory) nextEnd() (first time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.nodes {
		if first.IsZero() || l.until.Before(first) {
			first = l.until
		}
	}
	return first
}

// list returns what each node last said about itself, by name.
func (d *directory) list() map[string]json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make(map[string]json.RawMessage, len(d.nodes))
	for node, l := range d.nodes {
		list[node] = l.About
	}
	return list
}
