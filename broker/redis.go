package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
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

	// Prefix begins every channel and key; "" is DefaultPrefix. Pub/sub knows no
	// database numbers: with one other than 0 it must be another one.
	Prefix string

	TLS         *tls.Config   // for rediss; nil: as TLSFiles say
	TLSFiles    RedisTLS      // for rediss
	Connections int           // subscriber connections outside of a Cluster; 0 is 4
	Linger      time.Duration // how long an unsubscribe waits for a new subscribe; 0 is 1 s

	// Dial opens every connection to Redis, encryption included. nil: over TCP, and TLS
	// as above.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Log     *slog.Logger // nil says nothing
	Observe RedisObserver
}

// DefaultPrefix is the beginning of the names in Redis.
const DefaultPrefix = "tidegate:"

// RedisObserver is told what the broker does. Each field may be nil; none may
// block; all may be called concurrently.
type RedisObserver struct {
	RoundTrip   func(time.Duration) // of one pipeline or script
	Reconnect   func()              // an attempt to restore a lost link
	HistoryRead func()              // a Since, a Latest, or the Tops of one partition
	Panic       func()              // something ended that should not have; what it did was begun anew
	Refused     func(kind string)   // Redis answered with an error, of one of a dozen kinds
}

// Redis is a Broker, a History, a Presence and a Register over Redis standalone, with
// Sentinel, or Cluster.
//
// A channel belongs to one of a fixed number of partitions, by its name. Each
// partition has one connection that subscribes, opened when it is first needed,
// and one pipeline that publishes, so that a channel's order is that of one
// connection. In a Cluster all names of a partition share a slot.
type Redis struct {
	// Fixed at birth.
	config     RedisConfig
	target     redisTarget
	topology   topology // set by Run
	partitions []*partition
	wake       chan struct{} // the masters may be others

	pages     flights[pageRequest, Page]
	pageReads pool // of pages, which anybody may ask for
	topReads  pool // of the positions that subscribes need
	others    pool // of presence, and of what is seldom

	clustered  bool
	board      *board
	refusals   *refusals
	appendHash any // a string
	pageScript *redis.Script
	topsScript *redis.Script
	presence   presenceScripts
	taken      takenVersions // of presence
	register   registerScripts
	running    chan struct{} // closed when Run begins
	ended      chan struct{} // closed when Run is about to return

	losses   atomic.Int64 // of links, so far
	spare    spares
	readers  processes
	nameless sync.Once // the log has said that Redis does not tell its run_id
}

var (
	_ Broker  = (*Redis)(nil)
	_ History = (*Redis)(nil)
)

const (
	answerTimeout = 900 * time.Millisecond
	readTimeout   = 1500 * time.Millisecond
)

// NewRedis returns a broker that connects once Run is running. It fails only if
// the configuration can never work, and holds on to nothing: one that is not run
// need not be closed.
func NewRedis(c RedisConfig) (*Redis, error) {
	c = c.withDefaults()
	target, err := parseRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.TLS, err = c.encryption(target); err != nil {
		return nil, err
	}
	if target.database != 0 && c.Prefix == DefaultPrefix {
		return nil, fmt.Errorf("redis database %d: messages know no databases, and those of a deployment on another one would be heard here: set a prefix (redis.prefix) of this deployment's own", target.database)
	}
	b := &Redis{
		config:    c,
		target:    target,
		wake:      make(chan struct{}, 1),
		pageReads: make(pool, poolSize),
		topReads:  make(pool, poolSize),
		others:    make(pool, poolSize),
		clustered: target.mode == redisCluster,
		running:   make(chan struct{}),
		ended:     make(chan struct{}),

		appendHash: redis.NewScript(AppendScript).Hash(),
		pageScript: redis.NewScript(pageScript),
		topsScript: redis.NewScript(topsScript),
		presence:   newPresenceScripts(),
		register:   newRegisterScripts(),
	}
	partitions := c.Connections
	if b.clustered {
		partitions = clusterPartitions
		if strings.ContainsAny(c.Prefix, "{}") {
			return nil, fmt.Errorf("redis prefix %q: braces choose the slot in a Cluster, which is for Tidegate to do", c.Prefix)
		}
	}
	for i := range partitions {
		b.partitions = append(b.partitions, newPartition(b, i))
	}
	spare := 0
	if b.clustered {
		spare = len(b.partitions) / 2
	}
	b.board = newBoard(c.Log, b.partitions, spare)
	b.refusals = &refusals{log: c.Log, observe: c.Observe.Refused, told: make(map[string]time.Time), more: make(map[string]int)}
	return b, nil
}

// Run is documented at Broker. It silences the log of go-redis, which is the
// process's: what matters of it are errors that come back here.
func (b *Redis) Run(ctx context.Context, r Receiver) error {
	redis.SetLogger(&logging.VoidLogger{})
	b.board.receiver = r
	b.topology = newTopology(b, len(b.partitions)+3*poolSize)
	close(b.running)
	var wait sync.WaitGroup
	follower := &follower{broker: b, receiver: r, links: make(map[string]*link)}
	wait.Go(func() { follower.run(ctx) })
	wait.Go(func() { _ = b.wall(func() error { b.checkRights(ctx); return nil }) })
	for _, p := range b.partitions {
		wait.Go(func() { p.lane.run(ctx) })
		wait.Go(func() { p.sure.run(ctx) })
	}
	<-ctx.Done()
	close(b.ended)
	wait.Wait()
	return nil
}

// rest tells the receiver that there is no more for now.
func (b *Redis) rest() { b.board.receiver.Rest() }

// Subscribe is documented at Broker.
func (b *Redis) Subscribe(ctx context.Context, channels ...string) error {
	requests := b.requests(channels)
	begun := cmp.Or(ctx.Err(), b.usable())
	for _, q := range requests {
		if begun == nil {
			q.partition.join(q)
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

// requests sorts channels by their partitions.
func (b *Redis) requests(channels []string) []*request {
	var list []*request
	for _, channel := range channels {
		p := b.partitions[b.partitionOf(channel)]
		at := slices.IndexFunc(list, func(q *request) bool { return q.partition == p })
		if at < 0 {
			at = len(list)
			list = append(list, &request{partition: p})
		}
		list[at].names = append(list[at].names, p.prefix+channel)
	}
	return list
}

// Unsubscribe is documented at Broker.
func (b *Redis) Unsubscribe(ctx context.Context, channel string) error {
	p := b.partitions[b.partitionOf(channel)]
	p.unsubscribe(p.prefix + channel)
	return nil
}

// Publish is documented at Broker.
func (b *Redis) Publish(m Message, o PublishOptions, done func(Position, error)) {
	if err := b.usable(); err != nil {
		done(Position{}, notPublished(m.Channel, err))
		return
	}
	p := b.partitions[b.partitionOf(m.Channel)]
	if o.Replicas > 0 {
		p.sure.publish(m, o, done)
		return
	}
	p.lane.publish(m, o, done)
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

// encryption returns how connections are encrypted, or nil: they are not.
func (c RedisConfig) encryption(t redisTarget) (*tls.Config, error) {
	switch {
	case t.tls && c.TLS != nil:
		return c.TLS, nil
	case t.tls:
		return c.TLSFiles.config()
	case c.TLSFiles != RedisTLS{}:
		return nil, errors.New("redis TLS: files are named for it, and the URL is without: begin it with rediss")
	}
	return nil, nil
}

func (c RedisConfig) withDefaults() RedisConfig {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
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
//	tidegate:{2020}:chat:lobby   in a Cluster
//
// The number between the braces is the tag of the channel's partition, which is
// its FNV-1a hash (32 bits) modulo 64. The tags are chosen so that the slots of the
// partitions stand evenly over the Cluster's.
func (b *Redis) RedisName(channel string) string {
	return b.prefixOf(b.partitionOf(channel)) + channel
}

func (b *Redis) prefixOf(partition int) string {
	if b.clustered {
		return b.config.Prefix + "{" + strconv.Itoa(partitionTags[partition]) + "}:"
	}
	return b.config.Prefix
}

// partitionOfName returns the partition that a Redis name belongs to, or nil.
func (b *Redis) partitionOfName(name string) *partition {
	channel, ours := strings.CutPrefix(name, b.config.Prefix)
	if b.clustered && ours {
		_, channel, ours = strings.Cut(channel, "}:")
	}
	if !ours {
		return nil
	}
	if p := b.partitions[b.partitionOf(channel)]; strings.HasPrefix(name, p.prefix) {
		return p
	}
	return nil
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
