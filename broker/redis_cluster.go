package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// cluster is a topology of Redis Cluster.
type cluster struct {
	clients                // of the masters and the seed nodes
	slots   map[string]int // slots of the partitions, by prefix

	// Guarded by mu.
	err     error          // why the masters are not known
	masters map[int]string // addresses of the masters by slot, for the slots of partitions
	former  map[int]string // addresses of the previous masters by slot, where a look has found another one
}

func newCluster(d redisDialer, prefixes []string) *cluster {
	c := &cluster{clients: newClients(d), slots: make(map[string]int), former: make(map[int]string)}
	for _, prefix := range prefixes {
		c.slots[prefix] = slotOf(prefix)
	}
	return c
}

// view is what one node says about the cluster.
type view struct {
	of      string // address of the node
	masters map[int]string
	err     error
}

// look asks all masters and the seed nodes, and believes the majority. A node that slept
// through a failover is alone with its claim to be the master.
func (c *cluster) look(ctx context.Context) {
	defer c.looked.over()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c.mu.Lock()
	asked := c.used()
	c.mu.Unlock()
	views := make([]view, len(asked))
	var wait sync.WaitGroup
	for i, address := range asked {
		wait.Go(func() { views[i] = c.ask(ctx, address) })
	}
	wait.Wait()
	c.believe(views)
}

// used returns the addresses of the masters and the seed nodes. The caller must hold mu.
func (c *cluster) used() []string {
	list := slices.AppendSeq(slices.Clone(c.target.addresses), maps.Values(c.masters))
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *cluster) ask(ctx context.Context, address string) view {
	v := view{of: address, masters: make(map[int]string)}
	ranges, err := slotsOf(ctx, c.at(address))
	if err != nil {
		v.err = fmt.Errorf("%s: %w", address, err)
		return v
	}
	for _, r := range ranges {
		for _, slot := range c.slots {
			if len(r.Nodes) > 0 && r.Start <= slot && slot <= r.End {
				v.masters[slot] = withHost(r.Nodes[0].Addr, address)
			}
		}
	}
	return v
}

// slotsOf asks a node for the ranges of slots. The first node of each range is the master.
func slotsOf(ctx context.Context, node *redis.Client) ([]redis.ClusterSlot, error) {
	//lint:ignore SA1019 CLUSTER SHARDS needs Redis 7
	return node.ClusterSlots(ctx).Result()
}

// withHost adds the host of the node by, which told the address, to an address without one.
func withHost(address, by string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" && host != "?" {
		return address
	}
	host, _, _ = net.SplitHostPort(by)
	return net.JoinHostPort(host, port)
}

// believe takes for each slot the master that most views name. A claim of a node about
// itself counts half.
func (c *cluster) believe(views []view) {
	votes := make(map[int]map[string]int)
	var errs []error
	for _, v := range views {
		errs = append(errs, v.err)
		for slot, master := range v.masters {
			if votes[slot] == nil {
				votes[slot] = make(map[string]int)
			}
			votes[slot][master] += 2
			if master == v.of {
				votes[slot][master]--
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = errors.Join(errs...); len(votes) == 0 {
		return // keep what was known before
	}
	before := c.masters
	c.masters = make(map[int]string)
	for slot, named := range votes {
		for master, n := range named {
			if best := c.masters[slot]; best == "" || n > named[best] {
				c.masters[slot] = master
			}
		}
		if former := before[slot]; former != "" && former != c.masters[slot] {
			c.former[slot] = former
		}
	}
	c.closeOthers(c.used()...)
}

func (c *cluster) client(ctx context.Context, key string) (*redis.Client, error) {
	return c.clientOf(ctx, key, c.address)
}

func (c *cluster) address(key string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot := c.slots[key]
	address, known := c.masters[slot]
	switch {
	case known:
		return address, nil
	case c.err != nil:
		return "", c.err
	default:
		return "", fmt.Errorf("slot %d of the cluster has no master", slot)
	}
}

const clusterSlots = 16384

// slotOf returns the slot of a key, as defined by the Redis Cluster specification: the
// CRC16 (XMODEM) of what is between the first braces, or of the whole key.
func slotOf(key string) int {
	_, rest, _ := strings.Cut(key, "{")
	if tag, _, ended := strings.Cut(rest, "}"); ended && tag != "" {
		key = tag
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			carry := crc & 0x8000
			if crc <<= 1; carry != 0 {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % clusterSlots
}
