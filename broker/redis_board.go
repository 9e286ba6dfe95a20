package broker

import (
	"context"
	"errors"
	"log/slog"

	"tidegate/broker/lock"
)

// board adds up the states of the partitions to the one that the Receiver is told.
// Redis can be used if all partitions can be subscribed and published on. Of a
// Cluster half of them are enough: a master that is away is away for all nodes, and
// each of them serves the rest.
type board struct {
	receiver Receiver // set before anything is told
	log      *slog.Logger
	all      []*partition
	spare    int // partitions that Redis can be used without

	// Guarded by mu. Held while the Receiver is told, so that it hears the states
	// in their order.
	mu   lock.Mutex[lock.Board]
	new  map[*partition]struct{} // that nothing has been said of yet
	down map[part]struct{}
	said state // to the Receiver, last
}

// part is what can be well or not of a partition: what it subscribes, or what one of
// its lanes publishes.
type part struct {
	partition *partition
	does      duty
}

type duty byte

const (
	subscribing duty = iota
	publishing
	publishingSurely // what replicas have to confirm
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

// rest tells the receiver that there is no more for now.
func (b *board) rest() { b.receiver.Rest() }

// up says that a part is well.
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

// lost says that it is not, and why.
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
	case enough && wasWell:
		b.log.Error("a part of redis is away: what its channels need is unavailable", "error", err)
	}
}

// without counts the partitions whose master has something that is not well: what it
// refuses on one it will refuse on others. It is called with mu held.
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
