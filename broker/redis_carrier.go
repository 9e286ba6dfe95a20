package broker

import "sync/atomic"

// carrier is what a partition sees of the link that subscribes it. All methods may be
// called concurrently.
type carrier struct {
	wake      chan struct{} // there is something to do for the connection
	suspected atomic.Bool   // somebody waited in vain
	answers   atomic.Uint64 // what Redis has answered to commands
}

// suspect has the connection probed, since something waited in vain.
func (c *carrier) suspect() {
	c.suspected.Store(true)
	c.poke()
}

// poke says that there is something to send.
func (c *carrier) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
