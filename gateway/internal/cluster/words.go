package cluster

import (
	"time"

	"tidegate/broker/lock"
)

const tellPatience = time.Second // for the other node to take it

// telling is the words of this node that are not confirmed.
type telling struct {
	told room // of those that wait; fixed at birth

	// Guarded by mu.
	mu      lock.Mutex[lock.Words]
	waiting map[string]unconfirmed // by word.ID
}

type unconfirmed struct {
	node      string
	confirmed chan error // has room for one
}

func newTelling() *telling {
	return &telling{told: room{most: toldMost, mostBytes: toldBytes}, waiting: make(map[string]unconfirmed)}
}

func (t *telling) begin(id, node string) <-chan error {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := unconfirmed{node, make(chan error, 1)}
	t.waiting[id] = u
	return u.confirmed
}

func (t *telling) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, id)
}

// confirm takes a receipt. One that is too late is ignored.
func (t *telling) confirm(r receipt) {
	var err error
	if r.Code != "" {
		err = &Failure{r.Code, r.Why}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conclude(r.ID, err)
}

// lost says that a node is gone: it confirms nothing any more.
func (t *telling) lost(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, u := range t.waiting {
		if u.node == node {
			t.conclude(id, failf("the node %s is gone, and may or may not have taken it", node))
		}
	}
}

// conclude says what came of a word. It is called with mu held.
func (t *telling) conclude(id string, err error) {
	if u, waiting := t.waiting[id]; waiting {
		delete(t.waiting, id)
		u.confirmed <- err
	}
}
