package broker

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// A slot that is moved (MIGRATE, CLUSTER SETSLOT) takes its keys along, so that nothing
// is forgotten. A replica that takes over may not have had all. By what it has, a process
// cannot tell which it was: both have the line of another one. A node that was sure of
// the former master until just now can, if all of this holds:
//
//   - The looks have found the slot with the one, then with the other, and nobody between.
//   - The former one is the same process, and has been a master without a break: no
//     replica has taken over from it. It would have had to become one itself.
//   - The new one has not taken over from another, and runs for longer than the node has
//     been sure of the former one: it has lost nothing of what it was given.
//   - It says that the former one still has other slots: who takes over takes all.
//
// Else the era ends.

// sureFor is how long ago a node may have been sure of the former master. In quiet
// channels it looks every 5 s.
const sureFor = 8 * time.Second

// vouch is what a script of the partition's is told over a connection to a process.
func (p *partition) vouch(ctx context.Context, to *process, now time.Time) voucher {
	former, left := p.trust.leaves(to, now)
	if left && to.before == "" && to.uptime > sureFor && p.broker.topology.gave(ctx, p.prefix, former, to) {
		p.trust.follow(former, to)
	}
	return p.trust.vouch(to, now)
}

func (c *cluster) gave(ctx context.Context, key string, former mastership, to *process) bool {
	if c.formerOf(key) != former.address {
		return false
	}
	giver, err := introduce(ctx, c.at(former.address))
	if giver == nil {
		return false
	}
	giver.conn.Close()
	ranges, seen := slotsOf(ctx, to.conn)
	return err == nil && seen == nil && giver.continues(former.line) &&
		slices.ContainsFunc(ranges, func(r redis.ClusterSlot) bool {
			return len(r.Nodes) > 0 && withHost(r.Nodes[0].Addr, to.address) == former.address
		})
}

func (c *cluster) formerOf(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.former[c.slots[key]]
}
