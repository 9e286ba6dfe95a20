package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// RedisConfig says where Redis is and how it is used.
type RedisConfig struct {
	// URL is one of
	//
	//	redis://[user:password@]host[:6379][/database]
	//	redis+sentinel://[user:password@]host[:26379],host…/mastername[/database]
	//	redis+cluster://[user:password@]host[:6379],host…
	//
	// with rediss in place of redis for TLS. A Sentinel that asks for credentials
	// of its own takes them as ?sentinel_user=…&sentinel_password=…. Redis 6.2 or
	// later is needed, and 7 for a Cluster; Valkey is the same.
	URL string

	Prefix      string        // of every channel and key; "" is "tidegate:"
	TLS         *tls.Config   // for rediss; nil trusts the system's roots
	Connections int           // subscriber connections outside of a Cluster; 0 is 4
	Linger      time.Duration // how long an unsubscribe waits for a new subscribe; 0 is 1 s
	Log         *slog.Logger  // nil says nothing
	Observe     RedisObserver
}

// RedisObserver is told what the broker does. Each field may be nil; none may
// block; all may be called concurrently.
type RedisObserver struct {
	RoundTrip   func(time.Duration) // of one pipeline or script
	Reconnect   func()              // an attempt to restore a lost link
	HistoryRead func()              // a Since, a Latest, or the Tops of one partition
	Panic       func()              // something ended that should not have; what it did was begun anew
}

// Redis is a Broker, a History and a Presence over Redis standalone, with
// Sentinel, or Cluster.
//
// A channel belongs to one of a fixed number of partitions, by its name. Each
// partition has one connection that subscribes, opened when it is first needed,
// and one pipeline that publishes, so that a channel's order is that of one
// connection. In a Cluster all names of a partition share a slot.
type Redis struct {
	// Fixed at birth.
	config     RedisConfig
	topology   topology
	partitions []*partition

	pages     flights[pageRequest, Page]
	pageReads pool // of pages, which anybody may ask for
	topReads  pool // of the positions that subscribes need
	others    pool // of presence, and of what is seldom

	clustered  bool
	board      *board
	appendHash string
	pageScript *redis.Script
	topsScript *redis.Script
	presence   presenceScripts
	running    chan struct{} // closed when Run begins
	ended      chan struct{} // closed when Run is about to return

	losses   atomic.Int64 // of links, so far
	readers  processes
	nameless sync.Once // the log has said that Redis does not tell its run_id
}

// partition is the channels of one hash.
type partition struct {
	link  *link
	lane  *lane
	trust *trust // one for all partitions outside of a Cluster
}

var (
	_ Broker  = (*Redis)(nil)
	_ History = (*Redis)(nil)
)

const (
	clusterPartitions = 64 // part of every name in a Cluster: never to be changed
	answerTimeout     = 900 * time.Millisecond
	readTimeout       = 1500 * time.Millisecond
)

// NewRedis returns a broker that connects once Run is running. It fails only if
// the configuration can never work. It silences the log of go-redis, which is
// the process's: what matters of it are errors that come back here.
func NewRedis(c RedisConfig) (*Redis, error) {
	c = c.withDefaults()
	target, err := parseRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(&logging.VoidLogger{})
	partitions := c.Connections
	if target.mode == redisCluster {
		partitions = clusterPartitions
		if strings.ContainsAny(c.Prefix, "{}") {
			return nil, fmt.Errorf("redis prefix %q: braces choose the slot in a Cluster, which is for Tidegate to do", c.Prefix)
		}
	}
	b := &Redis{
		config:    c,
		topology:  newTopology(target, c.TLS, partitions+3*poolSize),
		pageReads: make(pool, poolSize),
		topReads:  make(pool, poolSize),
		others:    make(pool, poolSize),
		clustered: target.mode == redisCluster,
		board:     &board{log: c.Log},
		running:   make(chan struct{}),
		ended:     make(chan struct{}),

		appendHash: redis.NewScript(AppendScript).Hash(),
		pageScript: redis.NewScript(pageScript),
		topsScript: redis.NewScript(topsScript),
		presence:   newPresenceScripts(),
	}
	for i := range partitions {
		b.partitions = append(b.partitions, b.newPartition(i))
	}
	return b, nil
}

func (b *Redis) newPartition(i int) *partition {
	prefix := b.prefixOf(i)
	trust := &trust{}
	if !b.clustered && i > 0 {
		trust = b.partitions[0].trust
	}
	link := newLink(b, prefix, trust)
	return &partition{link: link, lane: newLane(b, prefix, link, trust), trust: trust}
}

// Run is documented at Broker.
func (b *Redis) Run(ctx context.Context, r Receiver) error {
	b.board.receiver = r
	close(b.running)
	var wait sync.WaitGroup
	wait.Go(func() { b.topology.run(ctx, b.wall, b.moved) })
	b.partitions[0].link.open() // so that there is always one that tells of Redis
	for _, p := range b.partitions {
		wait.Go(func() { p.link.run(ctx, r) })
		wait.Go(func() { p.lane.run(ctx) })
	}
	<-ctx.Done()
	close(b.ended)
	wait.Wait()
	return nil
}

// rest tells the receiver that there is no more for now.
func (b *Redis) rest() { b.board.receiver.Rest() }

func (b *Redis) moved(err error) {
	b.config.Log.Info("redis master moved", "error", err)
	for _, p := range b.partitions {
		p.link.rebuild(err)
	}
}

// Subscribe is documented at Broker.
func (b *Redis) Subscribe(ctx context.Context, channels ...string) error {
	requests := b.requests(channels)
	begun := cmp.Or(ctx.Err(), b.usable())
	for _, q := range requests {
		if begun == nil {
			q.link.join(q)
		}
	}
	var not NotSubscribed
	for _, q := range requests {
		err := begun
		if err == nil {
			err = q.wait(ctx)
		}
		if err != nil {
			q.giveUp(&not, fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
	}
	return not.orNil()
}

// requests sorts channels by their links.
func (b *Redis) requests(channels []string) []*request {
	var list []*request
	for _, channel := range channels {
		link := b.partitions[b.partitionOf(channel)].link
		at := slices.IndexFunc(list, func(q *request) bool { return q.link == link })
		if at < 0 {
			at = len(list)
			list = append(list, &request{link: link})
		}
		list[at].names = append(list[at].names, link.prefix+channel)
	}
	return list
}

// Unsubscribe is documented at Broker.
func (b *Redis) Unsubscribe(ctx context.Context, channel string) error {
	i := b.partitionOf(channel)
	b.partitions[i].link.unsubscribe(b.prefixOf(i) + channel)
	return nil
}

// Publish is documented at Broker.
func (b *Redis) Publish(m Message, o PublishOptions, done func(Position, error)) {
	if err := b.usable(); err != nil {
		done(Position{}, notPublished(m.Channel, err))
		return
	}
	b.partitions[b.partitionOf(m.Channel)].lane.publish(m, o, done)
}

func notPublished(channel string, why error) error {
	return fmt.Errorf("publish on %q: %w: %w", channel, ErrUnavailable, why)
}

var (
	errNotRunning = errors.New("not running")
	errNoAnswer   = errors.New("redis did not answer in time")
)

func (b *Redis) usable() error {
	select {
	case <-b.ended:
		return errNotRunning
	default:
	}
	select {
	case <-b.running:
		return nil
	default:
		return errNotRunning
	}
}

func (c RedisConfig) withDefaults() RedisConfig {
	if c.Prefix == "" {
		c.Prefix = "tidegate:"
	}
	if c.Connections <= 0 {
		c.Connections = 4
	}
	if c.Linger == 0 {
		c.Linger = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// RedisName returns the name under which a channel is published in Redis:
//
//	tidegate:chat:lobby         outside of a Cluster
//	tidegate:{17}:chat:lobby    in a Cluster; 17 is the channel's FNV-1a hash (32 bits) modulo 64
func (b *Redis) RedisName(channel string) string {
	return b.prefixOf(b.partitionOf(channel)) + channel
}

func (b *Redis) prefixOf(partition int) string {
	if b.clustered {
		return b.config.Prefix + "{" + strconv.Itoa(partition) + "}:"
	}
	return b.config.Prefix
}

// partitionOf is the FNV-1a hash of the channel, modulo the partitions. What
// belongs to a channel, by its name and more behind a space, is in its partition.
func (b *Redis) partitionOf(channel string) int {
	hash := uint32(2166136261)
	for i := range len(channel) {
		if channel[i] == ' ' {
			break
		}
		hash = (hash ^ uint32(channel[i])) * 16777619
	}
	return int(hash % uint32(len(b.partitions)))
}
