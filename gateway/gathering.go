package gateway

import "tidegate/broker/lock"

// gathering collects the subscribes of a session that are processed together: while some of
// them wait for the broker, those that arrive form the next batch. Other commands of the
// client wait until all subscribes have been answered. All methods are safe for concurrent use.
type gathering struct {
	done chan struct{} // closed when all are answered

	mu      lock.Mutex[lock.Gathering]
	waiting []Subscribe
	bytes   int  // total size of those that are not answered yet
	over    bool // no more may be added
}

// Limits of the subscribes that are not answered yet. The next one waits for all of them.
const (
	mostGathered      = 256 // that wait for the next batch
	mostGatheredBytes = 256 << 10
)

func newGathering(first Subscribe) *gathering {
	return &gathering{done: make(chan struct{}), waiting: []Subscribe{first}, bytes: first.size()}
}

// add adds the subscribe to the next batch and reports whether it could. A nil gathering
// accepts none.
func (g *gathering) add(c Subscribe) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || len(g.waiting) == mostGathered || g.bytes+c.size() > mostGatheredBytes {
		return false
	}
	g.waiting = append(g.waiting, c)
	g.bytes += c.size()
	return true
}

// answered records that a subscribe of the given size has been answered.
func (g *gathering) answered(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes -= size
}

// end accepts no more and returns the total size of those that will not be answered: none,
// unless a panic has ended the session.
func (g *gathering) end() (bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	return g.bytes
}

// take returns the next batch; if it is empty, the gathering is over. It clears done, the
// previous batch, and reuses its memory.
func (g *gathering) take(done []Subscribe) []Subscribe {
	clear(done)
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.waiting
	g.waiting, g.over = done[:0], len(taken) == 0
	return taken
}
