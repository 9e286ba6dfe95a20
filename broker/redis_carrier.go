package broker

import "sync/atomic"

// carrier is the part of a link that the partitions it subscribes may use. All methods are
// safe for concurrent use.
type carrier struct {
	wake                    // there is something to do for the connection
	suspected atomic.Bool   // somebody waited in vain
	answers   atomic.Uint64 // number of answers to commands so far
}

// suspect makes the link probe its connection, because somebody waited in vain.
func (c *carrier) suspect() {
	c.suspected.Store(true)
	c.poke()
}

// wake wakes a goroutine that receives from it.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

// poke makes the goroutine wake up now, or the next time it waits.
func (w wake) poke() {
	select {
	case w <- struct{}{}:
	default:
	}
}
