package gateway

import "tidegate/broker/lock"

// gathering is subscribes of a session's client that are done together: while some of them
// wait for the broker, those that the client sends meanwhile wait to go together next. All
// else that it sends is done when all are. All methods may be called concurrently.
type gathering struct {
	done chan struct{} // closed when all are answered

	mu      lock.Mutex[lock.Gathering]
	waiting []Subscribe
	over    bool // none is added any more
}

// mostGathered is how many subscribes wait. The next one waits for all of them.
const mostGathered = 256

func newGathering(first Subscribe) *gathering {
	return &gathering{done: make(chan struct{}), waiting: []Subscribe{first}}
}

// add reports whether the subscribe is done with the others; a nil gathering has none.
func (g *gathering) add(c Subscribe) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || len(g.waiting) == mostGathered {
		return false
	}
	g.waiting = append(g.waiting, c)
	return true
}

// take returns those that are to be done now; none: it is over. Those done before are
// forgotten, and their memory is that of the next ones.
func (g *gathering) take(done []Subscribe) []Subscribe {
	clear(done)
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.waiting
	g.waiting, g.over = done[:0], len(taken) == 0
	return taken
}
