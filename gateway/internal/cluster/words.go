package cluster

import (
	"time"

	"tidegate/broker/lock"
)

const tellPatience = time.Second // for the other node to handle it

// telling holds the words of this node that are not confirmed yet.
type telling struct {
	told room // bounds the words in flight; fixed at birth

	// Guarded by mu.
	mu      lock.Mutex[lock.Words]
	waiting map[string]unconfirmed // by word.ID
}

type unconfirmed struct {
	node      string
	confirmed chan error // buffered, for one value
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

// confirm handles a receipt and ignores late ones.
func (t *telling) confirm(r receipt) {
	var err error
	if r.Code != "" {
		err = &Failure{r.Code, r.Why}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conclude(r.ID, err)
}

// lost fails the words to a node that is gone.
func (t *telling) lost(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, u := range t.waiting {
		if u.node == node {
			t.conclude(id, failf("the node %s is gone, and may or may not have taken it", node))
		}
	}
}

// conclude delivers the result of a word. The caller must hold mu.
func (t *telling) conclude(id string, err error) {
	if u, waiting := t.waiting[id]; waiting {
		delete(t.waiting, id)
		u.confirmed <- err
	}
}
