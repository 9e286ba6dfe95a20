package broker

import (
	"log/slog"

	"tidegate/broker/lock"
)

// board adds up the states of the partitions to the one that the Receiver is told:
// Redis can be used if each can be subscribed and published on.
type board struct {
	receiver Receiver // set before anything is told
	log      *slog.Logger

	// Guarded by mu. Held while the Receiver is told, so that it hears the states
	// in their order.
	mu   lock.Mutex[lock.Board]
	new  map[any]struct{} // partitions that nothing has been said of yet
	down map[any]struct{} // partitions and lanes
	told bool
}

func newBoard(log *slog.Logger, all []*partition) *board {
	b := &board{log: log, new: make(map[any]struct{}), down: make(map[any]struct{})}
	for _, p := range all {
		b.new[p] = struct{}{}
	}
	return b
}

// up says that a partition, or what it publishes, is well.
func (b *board) up(what any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasDown := len(b.down) > 0
	delete(b.down, what)
	delete(b.new, what)
	if len(b.down) == 0 && len(b.new) == 0 && (wasDown || !b.told) {
		b.told = true
		b.log.Info("redis link is up")
		b.receiver.Link(nil)
	}
}

// lost says that it is not, and why.
func (b *board) lost(what any, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.new, what)
	if len(b.down) == 0 {
		b.told = true
		b.log.Error("redis link is down", "error", err)
		b.receiver.Link(err)
	}
	b.down[what] = struct{}{}
}
