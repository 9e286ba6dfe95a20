package broker

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Two handovers lose no data: when a slot is moved (MIGRATE, CLUSTER SETSLOT) its keys go
// along, and a replica that takes over as planned (CLUSTER FAILOVER) first waits until it
// has everything. A replica that takes over because the master failed may lack some. A
// process cannot tell these cases apart by its own data: each time it has the line of
// another one. A node that knew the former master can. It concludes that a slot was moved
// from all of this:
//
//   - Its looks have found the slot at the former master, then at the new one, and at no other
//     in between; and it was sure of the former one until just now.
//   - The former master is the same process, and has been a master without a break: no replica
//     has taken over from it, because then it would have become a replica itself.
//   - The new master has never been a replica, and has been running since before the node was
//     last sure of the former one: it has lost nothing of what it was given.
//   - The new master says that the former one still has other slots: a replica that takes over
//     takes all of them.
//
// It concludes that a replica had everything from this: the replica was promoted with the
// data of the former master, which now follows it and could continue where it was itself. A
// server that has written more than its new master had received cannot continue: it copies
// everything, and forgets what it was before.
//
// Otherwise the era ends.

const (
	yieldWait = 500 * time.Millisecond // for the former master to become a replica
	yieldLook = 25 * time.Millisecond  // between two questions to it
)

// gave implements topology.
func (c *cluster) gave(ctx context.Context, key string, former mastership, to *process) bool {
	ctx, cancel := context.WithTimeout(ctx, yieldWait)
	defer cancel()
	switch {
	case to.before == "" && to.received == "0":
		c.mu.Lock()
		last := c.former[c.slots[key]]
		c.mu.Unlock()
		return last == former.address && c.gaveSlot(ctx, former, to)
	case to.before == former.id:
		return c.yielded(ctx, former, to)
	}
	return false
}

// gaveSlot reports whether the former master is sure to have moved the slot to another one;
// see above.
func (c *cluster) gaveSlot(ctx context.Context, former mastership, to *process) bool {
	giver := c.askAgain(ctx, former)
	ranges, err := slotsOf(ctx, to.client)
	return err == nil && giver != nil && !giver.replica && giver.continues(former.line) &&
		slices.ContainsFunc(ranges, func(r redis.ClusterSlot) bool {
			return len(r.Nodes) > 0 && withHost(r.Nodes[0].Addr, to.address) == former.address
		})
}

// yielded reports whether the former master now follows its promoted replica, and has
// continued where it was itself. That takes a moment, which yielded waits for.
func (c *cluster) yielded(ctx context.Context, former mastership, to *process) bool {
	for {
		giver := c.askAgain(ctx, former)
		switch {
		case giver == nil || giver.run != former.run:
			return false
		case giver.replica && giver.synced:
			return giver.id == to.id && giver.before == former.id
		case !sleep(ctx, yieldLook):
			return false
		}
	}
}

// askAgain asks a former master what it is now. It returns nil if that fails. It needs a
// client of its own: a look closes those of servers that are no longer masters.
func (c *cluster) askAgain(ctx context.Context, former mastership) *process {
	client := redis.NewClient(c.options(former.address))
	defer client.Close()
	giver, err := introduce(ctx, client)
	if giver == nil {
		return nil
	}
	giver.conn.Close()
	if err != nil {
		return nil
	}
	return giver
}
