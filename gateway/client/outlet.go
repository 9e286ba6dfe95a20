package client

import "sync"

// outlet is where commands go out: on one link after another.
type outlet struct {
	ended chan struct{} // closed when Run returns

	// Guarded by mu.
	mu     sync.Mutex
	end    error // why Run returned, to be read after ended is closed
	link   *link // what new commands go out on; nil while there is none
	lastID int64
}

// newID is called with mu held.
func (o *outlet) newID() int64 {
	o.lastID++
	return o.lastID
}
