package broker

import (
	"log/slog"
	"sync"
)

// board adds up the states of the links to the one that the Receiver is told:
// Redis can be used if no link that is in use is down.
type board struct {
	receiver Receiver // set before the links run
	log      *slog.Logger

	// Guarded by mu. Held while the Receiver is told, so that it hears the
	// states in their order.
	mu   sync.Mutex
	down map[*link]struct{}
	told bool
}

// up says that a link can be used.
func (b *board) up(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasDown := len(b.down) > 0
	delete(b.down, l)
	if len(b.down) == 0 && (wasDown || !b.told) {
		b.told = true
		b.log.Info("redis link is up")
		b.receiver.Link(nil)
	}
}

// lost says that a link cannot be used, and why.
func (b *board) lost(l *link, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.down) == 0 {
		b.told = true
		b.log.Error("redis link is down", "error", err)
		b.receiver.Link(err)
	}
	if b.down == nil {
		b.down = make(map[*link]struct{})
	}
	b.down[l] = struct{}{}
}
