package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Redis is a Broker, History, Presence and Register on standalone Redis, Redis with
// Sentinel, or Redis Cluster.
//
// A channel belongs to one of a fixed number of partitions, chosen by its name. Each
// partition has one connection for subscriptions and one pipeline for publishing, so that a
// single connection determines the order of a channel. In a Cluster all names of a partition
// share a slot, and all partitions of a master share the connection and the pipeline.
type Redis struct {
	*redisHistory
	*redisPresence
	*redisRegister

	// Immutable after construction.
	servers    *servers
	dial       redisDialer
	partitions []*partition
	board      *board
	lanes      []*lane     // one for each partition
	sure       []*lane     // the same for publications that replicas must confirm, so that others need not wait for them
	exchanges  []*exchange // of all lanes
}

var (
	_ Broker   = (*Redis)(nil)
	_ History  = (*Redis)(nil)
	_ Presence = (*Redis)(nil)
	_ Register = (*Redis)(nil)
)

// NewRedis returns a Redis, which connects when Run is called. It fails only if the
// configuration can never work. It holds no resources: a Redis that is never run need not
// be closed.
func NewRedis(c RedisConfig) (*Redis, error) {
	c = c.withDefaults()
	target, err := parseRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	encryption, err := c.encryption(target)
	if err != nil {
		return nil, err
	}
	if target.database != 0 && c.Prefix == DefaultPrefix {
		return nil, fmt.Errorf("redis database %d: messages know no databases, and those of a deployment on another one would be heard here: set a prefix (redis.prefix) of this deployment's own", target.database)
	}
	clustered := target.mode == redisCluster
	if !clustered && !strings.Contains(c.Prefix, ":") {
		return nil, fmt.Errorf("redis prefix %q: it needs a colon, as in %q; else each family of channels, up to its own colon, would leave a key for ever", c.Prefix, c.Prefix+":")
	}
	partitions, spare := c.Connections, 0
	if clustered {
		partitions, spare = clusterPartitions, clusterPartitions/2
		if strings.ContainsAny(c.Prefix, "{}") {
			return nil, fmt.Errorf("redis prefix %q: braces choose the slot in a Cluster, which is for Tidegate to do", c.Prefix)
		}
	}
	s := newServers(c, newRedisNames(c.Prefix, partitions, clustered), target)
	b := &Redis{
		servers: s,
		dial:    redisDialer{target: target, tls: encryption, other: c.Dial, poolSize: 2*partitions + 3*poolSize + 1},
	}
	b.partitions = newPartitions(s, c.Linger)
	b.board = newBoard(c.Log, b.partitions, spare)
	said := &spares{}
	var surely []*exchange
	b.lanes, b.exchanges = newLanes(s, b.board, publishing, said)
	b.sure, surely = newLanes(s, b.board, publishingSurely, said)
	b.exchanges = append(b.exchanges, surely...)
	b.redisHistory = &redisHistory{servers: s, partitions: b.partitions, pageReads: newPools(partitions), topReads: newPools(partitions)}
	b.redisPresence, b.redisRegister = &redisPresence{servers: s}, &redisRegister{s}
	return b, nil
}

// Run implements Broker. It turns off the log of go-redis for the whole process: the errors
// that matter are returned here.
func (b *Redis) Run(ctx context.Context, r Receiver) error {
	redis.SetLogger(&logging.VoidLogger{})
	b.board.receiver = r
	b.servers.topology = newTopology(b.dial, b.servers.prefixes)
	b.servers.running.Store(true)
	var wait sync.WaitGroup
	wait.Go(func() { newFollower(b.servers, b.board).run(ctx) })
	wait.Go(func() { _ = b.servers.wall(func() error { b.servers.checkRights(ctx); return nil }) })
	for _, e := range b.exchanges {
		wait.Go(func() { e.run(ctx) })
	}
	<-ctx.Done()
	b.servers.running.Store(false)
	close(b.servers.ended)
	for _, l := range slices.Concat(b.lanes, b.sure) {
		l.end()
	}
	wait.Wait()
	return nil
}

// Subscribe implements Broker.
func (b *Redis) Subscribe(ctx context.Context, channels ...string) error {
	all := b.requests(channels)
	begun := cmp.Or(ctx.Err(), b.servers.usable())
	for _, q := range all {
		if q.failed = begun; begun == nil {
			q.partition.join(q)
		}
	}
	all.wait(ctx)
	not := make(NotSubscribed)
	for _, q := range all {
		if q.failed != nil {
			q.partition.giveUp(q, not, fmt.Errorf("%w: %w", ErrUnavailable, q.failed))
		}
	}
	return not.orNil()
}

// requests groups channels by partition.
func (b *Redis) requests(channels []string) (all requests) {
	for _, channel := range channels {
		p := b.partitions[b.servers.partitionOf(channel)]
		at := slices.IndexFunc(all, func(q *request) bool { return q.partition == p })
		if at < 0 {
			at = len(all)
			all = append(all, &request{partition: p, names: make([]string, 0, 1+len(channels)/len(b.partitions))})
		}
		all[at].names = append(all[at].names, p.prefix+channel)
	}
	return all
}

// Unsubscribe implements Broker.
func (b *Redis) Unsubscribe(ctx context.Context, channel string) error {
	p := b.partitions[b.servers.partitionOf(channel)]
	p.unsubscribe(p.prefix + channel)
	return nil
}

// Publish implements Broker.
func (b *Redis) Publish(m Message, o PublishOptions, done func(Position, error)) {
	if err := b.servers.usable(); err != nil {
		done(Position{}, notPublished(m.Channel, err))
		return
	}
	lanes := b.lanes
	if o.Replicas > 0 {
		lanes = b.sure
	}
	lanes[b.servers.partitionOf(m.Channel)].publish(m, o, done)
}

// RedisName returns the name under which a channel is published in Redis:
//
//	tidegate:chat:lobby         outside of a Cluster
//	tidegate:{2020}:chat:lobby   in a Cluster
//
// The number in braces is the tag of the channel's partition. The partition is the FNV-1a
// hash (32 bits) of the channel modulo 64. The tags are chosen so that the slots of the
// partitions are spread evenly over the Cluster.
func (b *Redis) RedisName(channel string) string {
	return b.servers.prefixes[b.servers.partitionOf(channel)] + channel
}
