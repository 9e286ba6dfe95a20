package broker

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// A slot that is moved (MIGRATE, CLUSTER SETSLOT) takes its keys along, and a replica that
// takes over as planned (CLUSTER FAILOVER) waits until it has all: nothing is forgotten.
// One that takes over by need may not have had all. By what it has, a process cannot tell
// which it was: each time it has the line of another one. A node that knew the former
// master can. That a slot was given it sees by all of this:
//
//   - The looks have found the slot with the one, then with the other, and nobody between;
//     and until just now the node was sure of the former one.
//   - That is the same process, and has been a master without a break: no replica has
//     taken over from it. It would have had to become one itself.
//   - The new one has never been a replica, and runs for longer than the node has been
//     sure of the former one: it has lost nothing of what it was given.
//   - It says that the former one still has other slots: the one that takes over takes all.
//
// And that a replica had all by this: it was promoted from what it had of the former
// master's, and that follows it now and could go on where it was itself. A server that has
// written more than its new master had of it by then cannot: it begins anew, and has
// forgotten what it was before.
//
// Else the era ends.

const (
	yieldWait = 500 * time.Millisecond // for the former master to follow
	yieldLook = 25 * time.Millisecond
)

func (c *cluster) gave(ctx context.Context, key string, former mastership, to *process) bool {
	ctx, cancel := context.WithTimeout(ctx, yieldWait)
	defer cancel()
	switch {
	case to.before == "" && to.received() == "0":
		return c.formerOf(key) == former.address && c.gaveSlot(ctx, former, to)
	case to.before == former.id():
		return c.yielded(ctx, former, to)
	}
	return false
}

func (c *cluster) gaveSlot(ctx context.Context, former mastership, to *process) bool {
	giver := c.askAgain(ctx, former)
	ranges, err := slotsOf(ctx, to.conn)
	return err == nil && giver != nil && !giver.replica && giver.continues(former.line) &&
		slices.ContainsFunc(ranges, func(r redis.ClusterSlot) bool {
			return len(r.Nodes) > 0 && withHost(r.Nodes[0].Addr, to.address) == former.address
		})
}

// yielded reports whether the former master follows the one that was promoted from what
// it had of it, from where it was. It takes a moment until it does.
func (c *cluster) yielded(ctx context.Context, former mastership, to *process) bool {
	for {
		giver := c.askAgain(ctx, former)
		switch {
		case giver == nil || giver.run() != former.run():
			return false
		case giver.replica && giver.synced:
			return giver.id() == to.id() && giver.before == former.id()
		case !sleep(ctx, yieldLook):
			return false
		}
	}
}

// askAgain returns what a former master says of itself now, or nil.
func (c *cluster) askAgain(ctx context.Context, former mastership) *process {
	giver, err := introduce(ctx, c.at(former.address))
	if giver == nil {
		return nil
	}
	giver.conn.Close()
	if err != nil {
		return nil
	}
	return giver
}

func (c *cluster) formerOf(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.former[c.slots[key]]
}
