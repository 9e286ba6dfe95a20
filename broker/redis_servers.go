package broker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// servers are the servers of one Redis, and the way to ask them. All methods are safe for
// concurrent use.
type servers struct {
	// Immutable after construction.
	redisNames
	log      *slog.Logger
	observe  RedisObserver
	refusals *refusals
	target   redisTarget
	ended    chan struct{} // closed shortly before Run returns
	others   pools         // limits presence and rare operations
	changed  wake          // the masters may have changed

	losses   atomic.Int64   // number of lost links so far
	running  atomic.Bool    // between the beginning of Run and its end
	topology topology       // set by Run
	masters  []atomic.Int32 // see masterOf

	nameless sync.Once // logs once that Redis does not tell its run_id

	// Guarded by mu.
	mu   lock.Mutex[lock.Processes]
	idle []*process // unused connections for history and publishing
}

func newServers(c RedisConfig, names redisNames, target redisTarget) *servers {
	return &servers{
		redisNames: names,
		log:        c.Log,
		observe:    c.Observe,
		refusals:   newRefusals(c.Log, c.Observe.Refused),
		target:     target,
		ended:      make(chan struct{}),
		others:     newPools(len(names.prefixes)),
		changed:    newWake(),
		masters:    make([]atomic.Int32, len(names.prefixes)),
	}
}

// masterOf returns a number for the master that the last look found for a partition: that of
// the first partition with the same master.
func (s *servers) masterOf(partition int) int { return int(s.masters[partition].Load()) }

func (s *servers) usable() error {
	if s.running.Load() {
		return nil
	}
	return errNotRunning
}

// ask is askIn with the pools for operations that do not use history.
func (s *servers) ask(ctx context.Context, partition int, f func(context.Context, *redis.Client) error) error {
	return s.askIn(ctx, s.others, partition, f)
}

// eachMaster calls do with the client of each master that is not in done, which has addresses, and
// with one of its partitions. It adds the master to done, or returns the first error.
func (s *servers) eachMaster(ctx context.Context, done map[string]bool, do func(ctx context.Context, client *redis.Client, partition int) error) error {
	for partition := range s.prefixes {
		err := s.ask(ctx, partition, func(ctx context.Context, client *redis.Client) (err error) {
			if address := client.Options().Addr; !done[address] {
				err = do(ctx, client, partition)
				done[address] = err == nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pools limit how many operations are under way at each master: one that does not answer
// must not block the others. Each operation holds a token in the channel of masterOf.
// Operations that may wait for long, or that any client may request, have pools of their
// own, so as not to block the others.
type pools []chan struct{}

const poolSize = 8

func newPools(partitions int) pools {
	p := make(pools, partitions)
	for i := range p {
		p[i] = make(chan struct{}, poolSize)
	}
	return p
}

// askIn calls f with the client of a partition's master, and calls it again if another
// server is the master. All together may take readTimeout.
func (s *servers) askIn(ctx context.Context, in pools, partition int, f func(context.Context, *redis.Client) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	pool := in[s.masterOf(partition)]
	select {
	case pool <- struct{}{}:
		defer func() { <-pool }()
	case <-ctx.Done():
		return errNoAnswer
	case <-s.ended:
		return errNotRunning
	}
	for attempt := 0; ; attempt++ {
		err := s.askOnce(ctx, s.prefixes[partition], f)
		if !wrongMaster(err) || attempt == masterAttempts || !s.findMaster(ctx) {
			return err
		}
	}
}

func (s *servers) askOnce(ctx context.Context, prefix string, f func(context.Context, *redis.Client) error) error {
	client, err := s.topology.client(ctx, prefix)
	if err != nil {
		return err
	}
	start := time.Now()
	err = s.wall(func() error { return f(ctx, client) })
	s.roundTrip(start)
	s.refusals.note(err)
	if isReadonly(err) {
		s.topology.renew(client)
	}
	if isLost(err) {
		s.stale()
	}
	return err
}

const (
	masterAttempts = 3 // repeated attempts if the master has moved
	masterWait     = 100 * time.Millisecond
)

// findMaster requests a new look for the masters and waits for masterWait. It returns false
// if ctx ends first.
func (s *servers) findMaster(ctx context.Context) bool {
	s.stale()
	return sleep(ctx, masterWait)
}

// take returns an identified connection of client, idle or new. The caller must give it
// back. It fails if the process at the other end is a replica.
func (s *servers) take(ctx context.Context, client *redis.Client) (*process, error) {
	now := time.Now()
	if p := s.takeIdle(client, now); p != nil {
		return p, nil
	}
	losses := s.losses.Load()
	p, err := introduce(ctx, client)
	switch {
	case p == nil:
		return nil, err
	case p.replica:
		p.conn.Close()
		s.topology.renew(client)
		return nil, fmt.Errorf("%w: %s", errReplica, p.address)
	case p.line == (line{}):
		s.nameless.Do(func() {
			s.log.Warn("redis does not say which process it is: each lost link counts as a possible loss of history. "+
				"Allow the command INFO", "error", err)
		})
	}
	p.losses, p.used = losses, now
	return p, nil
}

func (s *servers) takeIdle(client *redis.Client, now time.Time) (found *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.idle[:0]
	for _, p := range s.idle {
		switch {
		case found == nil && s.isFresh(p, client, now):
			found = p
		case s.isFresh(p, p.client, now):
			kept = append(kept, p)
		default:
			p.conn.Close()
		}
	}
	clear(s.idle[len(kept):])
	s.idle = kept
	return found
}

// isFresh reports whether p is a connection of client and may be used again.
func (s *servers) isFresh(p *process, client *redis.Client, now time.Time) bool {
	return p.client == client && p.losses == s.losses.Load() && now.Sub(p.used) <= heldFor
}

// give takes back a process that take returned. If its use ended with an error, give closes
// it.
func (s *servers) give(p *process, err error) {
	if err != nil {
		p.conn.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.used = time.Now()
	s.idle = append(s.idle, p)
}

// wall calls f. If f panics, wall counts the panic, logs it with its stack and returns it
// as an error, so that the process goes on.
func (s *servers) wall(f func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
			s.log.Error("panic in the redis broker", "error", err, "stack", string(debug.Stack()))
			if s.observe.Panic != nil {
				s.observe.Panic()
			}
		}
	}()
	return f()
}

// stale says that something has failed and the masters may have changed.
func (s *servers) stale() { s.changed.poke() }

// roundTrip records the end of a round trip that began at start.
func (s *servers) roundTrip(start time.Time) {
	if s.observe.RoundTrip != nil {
		s.observe.RoundTrip(time.Since(start))
	}
}
