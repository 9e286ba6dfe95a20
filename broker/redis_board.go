package broker

import (
	"context"
	"errors"
	"log/slog"

	"tidegate/broker/lock"
)

// board combines the states of the partitions into the one state that the Receiver gets.
// Redis can be used if all partitions can subscribe and publish. In a Cluster half of them
// are enough: if a master is away, it is away for all nodes, and each of them serves the
// rest.
type board struct {
	receiver Receiver // set before the first call of a method
	log      *slog.Logger
	all      []*partition
	spare    int // how many partitions may be away while Redis still counts as usable

	// Guarded by mu, which is held while the Receiver is called, so that it gets the states
	// in order.
	mu   lock.Mutex[lock.Board]
	new  map[*partition]struct{} // partitions whose state is not known yet
	down map[part]struct{}
	said state // what the Receiver was told last
}

// part is what can work or fail within a partition: its subscriptions, or the publishing of
// one of its lanes.
type part struct {
	partition *partition
	does      duty
}

type duty byte

const (
	subscribing duty = iota
	publishing
	publishingSurely // publications that replicas must confirm
)

type state byte

const (
	unknown state = iota
	isUp
	isDown
)

func newBoard(log *slog.Logger, all []*partition, spare int) *board {
	b := &board{log: log, all: all, spare: spare, new: make(map[*partition]struct{}), down: make(map[part]struct{})}
	for _, p := range all {
		b.new[p] = struct{}{}
	}
	return b
}

// up says that a part works.
func (b *board) up(what part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasDown := len(b.down) > 0
	delete(b.new, what.partition)
	delete(b.down, what)
	if wasDown && len(b.down) == 0 && b.said == isUp {
		b.log.Info("all of redis is there again")
	}
	if b.said != isUp && len(b.new) == 0 && b.without() <= b.spare {
		b.said = isUp
		b.log.Info("redis link is up")
		b.receiver.Link(nil)
	}
}

// lost says that a part does not work, because of err.
func (b *board) lost(what part, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wasWell := len(b.down) == 0
	delete(b.new, what.partition)
	b.down[what] = struct{}{}
	switch enough := b.without() <= b.spare; {
	case !enough && b.said != isDown:
		b.said = isDown
		if errors.Is(err, context.Canceled) { // by Run's end
			b.log.Info("redis link is closed")
		} else {
			b.log.Error("redis link is down", "error", err)
		}
		b.receiver.Link(err)
	case enough && wasWell && !errors.Is(err, context.Canceled):
		b.log.Error("a part of redis is away: what its channels need is unavailable", "error", err)
	}
}

// without counts the partitions whose master has a part that does not work: what a master
// refuses on one partition it will refuse on others. The caller must hold mu.
func (b *board) without() (n int) {
	masters := make(map[*carrier]struct{})
	for what := range b.down {
		masters[what.partition.carrier.Load()] = struct{}{}
	}
	for _, p := range b.all {
		if _, bad := masters[p.carrier.Load()]; bad {
			n++
		}
	}
	return n
}
