package broker

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// follower keeps each partition with the link that subscribes at its master.
type follower struct {
	// Fixed at birth.
	broker   *Redis
	receiver Receiver

	links map[string]*link // owned by run
	wait  sync.WaitGroup   // for the links
}

const (
	lookBeat = time.Second
	lookRest = 50 * time.Millisecond // between two looks at least
)

// run looks with each beat, and whenever something proved wrong, where the masters
// are, until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer f.broker.topology.close()
	defer f.wait.Wait()
	ticker := time.NewTicker(lookBeat)
	defer ticker.Stop()
	for {
		_ = f.broker.wall(func() error {
			f.broker.topology.look(ctx)
			f.follow(ctx)
			return nil
		})
		if !sleep(ctx, lookRest) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.broker.wake:
		}
	}
}

// follow has each partition carried by the link to its master, and ends the links
// that carry none.
func (f *follower) follow(ctx context.Context) {
	for _, p := range f.broker.partitions {
		address, err := f.broker.topology.address(p.prefix)
		if err != nil {
			p.carry(nil, err)
			continue
		}
		p.carry(f.linkTo(ctx, p, address), fmt.Errorf("%w to %s", errMoved, address))
	}
	for name, l := range f.links {
		if len(l.carried()) == 0 {
			l.end(errMoved)
			delete(f.links, name)
		}
	}
}

// linkTo returns the link that carries a partition to a server: in a Cluster one
// for all, else one for each.
func (f *follower) linkTo(ctx context.Context, p *partition, address string) *link {
	name := address
	if !f.broker.clustered {
		name = fmt.Sprint(p.index, " ", address)
	}
	l := f.links[name]
	if l == nil {
		ctx, end := context.WithCancelCause(ctx)
		l = newLink(f.broker, f.receiver, address, end)
		f.links[name] = l
		f.wait.Go(func() { l.run(ctx) })
	}
	return l
}

// stale says that something proved wrong: the masters may be others.
func (b *Redis) stale() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
