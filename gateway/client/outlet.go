package client

import "sync"

// outlet is what all commands go through: it holds the current link.
type outlet struct {
	ended chan struct{} // closed when Run returns

	// Guarded by mu.
	mu     sync.Mutex
	end    error // why Run has returned; may be read without mu after ended is closed
	link   *link // the current link, which may have ended; nil if there is none
	lastID int64
}

// newID returns the next command id. The caller must hold mu.
func (o *outlet) newID() int64 {
	o.lastID++
	return o.lastID
}

// open returns the link for new commands, or nil. The caller must hold mu.
func (o *outlet) open() *link {
	if o.link == nil || o.link.ctx.Err() != nil {
		return nil
	}
	return o.link
}
