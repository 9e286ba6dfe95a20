package broker

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// follower connects each partition to the link whose server is its master.
type follower struct {
	// Immutable after construction.
	servers *servers
	board   *board

	// Used only by run.
	links map[string]*link
	wait  sync.WaitGroup // for the links
}

func newFollower(s *servers, b *board) *follower {
	return &follower{servers: s, board: b, links: make(map[string]*link)}
}

const (
	lookBeat = time.Second
	lookRest = 50 * time.Millisecond // minimum time between two looks
)

// run looks for the masters every lookBeat, and whenever something has failed, until ctx
// ends.
func (f *follower) run(ctx context.Context) {
	defer f.servers.topology.close()
	defer f.wait.Wait()
	ticker := time.NewTicker(lookBeat)
	defer ticker.Stop()
	for {
		_ = f.servers.wall(func() error {
			f.servers.topology.look(ctx)
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
		case <-f.servers.changed:
		}
	}
}

// follow gives each partition to the link to its master, and ends links without partitions.
func (f *follower) follow(ctx context.Context) {
	first := make(map[string]int) // partition of each master
	for _, p := range f.board.all {
		address, err := f.servers.topology.address(p.prefix)
		if err != nil {
			p.handOver(nil, err)
			f.board.lost(part{partition: p}, err)
			continue
		}
		if _, known := first[address]; !known {
			first[address] = p.index
		}
		f.servers.masters[p.index].Store(int32(first[address]))
		f.carry(p, f.linkTo(ctx, p, address))
	}
	for name, l := range f.links {
		if len(l.carried()) == 0 {
			l.end(errMoved)
			delete(f.links, name)
		}
	}
}

// carry makes l, and no other link, subscribe the partition.
func (f *follower) carry(p *partition, l *link) {
	if p.carrier.Load() != l.carrier {
		p.handOver(l.carrier, fmt.Errorf("%w to %s", errMoved, l.address))
		l.take(p)
	}
}

// linkTo returns the link for a partition to a server. In a Cluster all partitions of a
// server share a link, otherwise each has its own.
func (f *follower) linkTo(ctx context.Context, p *partition, address string) *link {
	name := address
	if !f.servers.clustered {
		name = fmt.Sprint(p.index, " ", address)
	}
	l := f.links[name]
	if l == nil {
		ctx, end := context.WithCancelCause(ctx)
		l = newLink(f.servers, f.board, address, end)
		f.links[name] = l
		f.wait.Go(func() { l.run(ctx) })
	}
	return l
}
