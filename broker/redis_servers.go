package broker

import (
	"context"
	"fmt"
	"sync"
	"tidegate/broker/lock"
	"time"

	"github.com/redis/go-redis/v9"
)

// servers are those of one Redis, and how they are asked. All methods may be called
// concurrently.
type servers struct {
	// Fixed at birth.
	redisNames
	*watch
	target  redisTarget
	running chan struct{} // closed when Run begins
	ended   chan struct{} // closed when Run is about to return
	others  pool          // of presence, and of what is seldom

	topology topology // set by Run

	nameless sync.Once // the log has said that Redis does not tell its run_id

	// Guarded by mu.
	mu   lock.Mutex[lock.Processes]
	idle []*process // that read history, and are not being used
}

func newServers(names redisNames, w *watch, target redisTarget) *servers {
	return &servers{
		redisNames: names,
		watch:      w,
		target:     target,
		running:    make(chan struct{}),
		ended:      make(chan struct{}),
		others:     make(pool, poolSize),
	}
}

func (s *servers) usable() error {
	select {
	case <-s.ended:
		return errNotRunning
	default:
	}
	select {
	case <-s.running:
		return nil
	default:
		return errNotRunning
	}
}

// ask is askIn for what reads and writes no history.
func (s *servers) ask(ctx context.Context, prefix string, f func(context.Context, *redis.Client) error) error {
	return s.askIn(ctx, s.others, prefix, f)
}

// pool holds a token for each of what is under way. What may wait for long, or is
// asked for by whom nobody knows, has a pool of its own, so that the rest passes.
type pool chan struct{}

const poolSize = 8

// askIn calls f with the client of a partition, with readTimeout in all. If another
// server is the master it calls f again.
func (s *servers) askIn(ctx context.Context, p pool, prefix string, f func(context.Context, *redis.Client) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case p <- struct{}{}:
		defer func() { <-p }()
	case <-ctx.Done():
		return errNoAnswer
	case <-s.ended:
		return errNotRunning
	}
	for attempt := 0; ; attempt++ {
		err := s.askOnce(ctx, prefix, f)
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
	masterAttempts = 3 // to find the master when it has moved
	masterWait     = 100 * time.Millisecond
)

// findMaster has the masters looked up again and gives that a moment. It reports
// whether there is time left.
func (s *servers) findMaster(ctx context.Context) bool {
	s.stale()
	return sleep(ctx, masterWait)
}

// take returns a process that a client is connected to.
func (s *servers) take(ctx context.Context, client *redis.Client) (*process, error) {
	now := time.Now()
	if p := s.takeIdle(client, now); p != nil {
		return p, nil
	}
	return s.meet(ctx, client, now)
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

// isFresh reports whether p can be used once more.
func (s *servers) isFresh(p *process, client *redis.Client, now time.Time) bool {
	return p.client == client && p.losses == s.losses.Load() && now.Sub(p.used) <= heldFor
}

// give hands back what take returned, when err is what came of its use.
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

// meet takes a connection from a client's pool and asks who is at its other end,
// which must be a master.
func (s *servers) meet(ctx context.Context, client *redis.Client, now time.Time) (*process, error) {
	losses := s.losses.Load()
	p, err := introduce(ctx, client)
	switch {
	case p == nil:
		return nil, err
	case p.replica:
		p.conn.Close()
		s.topology.renew(client)
		return nil, fmt.Errorf("%w: %s", errReplica, p.address)
	case p.line == "":
		s.nameless.Do(func() {
			s.log.Warn("redis does not say which process it is: each lost link counts as a possible loss of history. "+
				"Allow the command INFO", "error", err)
		})
	}
	p.losses, p.used = losses, now
	return p, nil
}
