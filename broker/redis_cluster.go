package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// cluster is a Redis Cluster.
type cluster struct {
	redisDialer
	slots  map[string]int // of the partitions, by prefix
	looked *looks

	// Guarded by mu.
	mu      lock.Mutex[lock.Masters]
	err     error                    // why nothing is known
	masters map[int]string           // addresses by slot, of the slots of partitions
	former  map[int]string           // the same of the masters before those, where a look has found others
	clients map[string]*redis.Client // by address; of the masters and the seeds
}

func newCluster(d redisDialer, prefixes []string) *cluster {
	c := &cluster{redisDialer: d, slots: make(map[string]int), looked: newLooks(), former: make(map[int]string), clients: make(map[string]*redis.Client)}
	for _, prefix := range prefixes {
		c.slots[prefix] = slotOf(prefix)
	}
	return c
}

// view is what one node says of the cluster.
type view struct {
	of      string // its address
	masters map[int]string
	err     error
}

// look asks the nodes from which the broker was told to begin and all masters, and
// believes what most of them say. One that slept through a failover is alone with
// what it says of itself.
func (c *cluster) look(ctx context.Context) {
	defer c.looked.over()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	asked := c.known()
	views := make([]view, len(asked))
	var wait sync.WaitGroup
	for i, address := range asked {
		wait.Go(func() { views[i] = c.ask(ctx, address) })
	}
	wait.Wait()
	c.believe(views)
}

func (c *cluster) known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.target.addresses)
	for _, address := range c.masters {
		list = append(list, address)
	}
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

// slotsOf asks a node for the ranges of slots, which name the master first.
func slotsOf(ctx context.Context, node interface {
	ClusterSlots(context.Context) *redis.ClusterSlotsCmd
}) ([]redis.ClusterSlot, error) {
	return node.ClusterSlots(ctx).Result()
}

// withHost gives an address without a host that of the node that told it.
func withHost(address, by string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" && host != "?" {
		return address
	}
	host, _, _ = net.SplitHostPort(by)
	return net.JoinHostPort(host, port)
}

// believe takes for each slot the master that most name. What a node says of itself
// counts less than what another says.
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
		return // what was known before is the best there is
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
	c.closeOthers()
}

// closeOthers closes the clients of nodes that are no longer asked anything. It is
// called with mu held.
func (c *cluster) closeOthers() {
	used := make(map[string]bool)
	for _, address := range c.target.addresses {
		used[address] = true
	}
	for _, address := range c.masters {
		used[address] = true
	}
	for address, client := range c.clients {
		if !used[address] {
			client.Close()
			delete(c.clients, address)
		}
	}
}

// at returns the client of an address.
func (c *cluster) at(address string) *redis.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.clients[address]
	if client == nil {
		client = redis.NewClient(c.options(address))
		c.clients[address] = client
	}
	return client
}

func (c *cluster) client(ctx context.Context, key string) (*redis.Client, error) {
	if err := c.looked.wait(ctx); err != nil {
		return nil, err
	}
	address, err := c.address(key)
	if err != nil {
		return nil, err
	}
	return c.at(address), nil
}

func (c *cluster) renew(wrong *redis.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, client := range c.clients {
		if client == wrong {
			c.clients[address] = c.again(wrong)
		}
	}
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

func (c *cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		client.Close()
	}
}

const clusterSlots = 16384

// slotOf returns the slot of a key, as the Redis Cluster specification has it: by
// CRC16 (XMODEM) of what is between the first braces.
func slotOf(key string) int {
	for i := range len(key) {
		if key[i] != '{' {
			continue
		}
		for j := i + 1; j < len(key); j++ {
			if key[j] == '}' && j > i+1 {
				key = key[i+1 : j]
				break
			}
		}
		break
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
