package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinelBeat is how often a Sentinel is asked for the master. Asking is one
// short command, and unlike a subscription to +switch-master it cannot go silent.
const sentinelBeat = time.Second

// sentinel is a master and its replicas, watched by Sentinels.
type sentinel struct {
	redisDialer
	asked chan struct{} // closed when the Sentinels have been asked once
	wake  chan struct{} // asks them now

	// Owned by run.
	sentinels []*redis.SentinelClient // the one that answered last comes first

	// Guarded by mu.
	mu     sync.Mutex
	err    error // why there is no master
	master string
	data   *redis.Client
}

func newSentinel(d redisDialer) *sentinel {
	s := &sentinel{redisDialer: d, asked: make(chan struct{}), wake: make(chan struct{}, 1)}
	for _, address := range d.target.addresses {
		o := d.options(address)
		o.Username, o.Password, o.DB = d.target.sentinelUser, d.target.sentinelPassword, 0
		o.OnConnect = nil
		s.sentinels = append(s.sentinels, redis.NewSentinelClient(o))
	}
	return s
}

func (s *sentinel) run(ctx context.Context, wall func(func() error) error, moved func(error)) {
	defer s.close()
	tick := time.NewTicker(sentinelBeat)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := wall(func() error { return s.follow(ctx) }); err != nil {
			moved(err)
		}
		if first {
			close(s.asked)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// follow asks for the master, and returns an error if it is another one than
// before.
func (s *sentinel) follow(ctx context.Context) error {
	master, err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = err
		return nil
	}
	before := s.master
	if s.err = nil; master == before {
		return nil
	}
	if s.data != nil {
		s.data.Close()
	}
	s.master, s.data = master, redis.NewClient(s.options(master))
	if before == "" {
		return nil
	}
	return fmt.Errorf("the master moved from %s to %s", before, master)
}

func (s *sentinel) ask(ctx context.Context) (string, error) {
	var errs error
	for i, client := range s.sentinels {
		address, err := client.GetMasterAddrByName(ctx, s.target.master).Result()
		switch {
		case errors.Is(err, redis.Nil):
			err = fmt.Errorf("sentinel knows no master %q", s.target.master)
		case err == nil && len(address) == 2:
			s.sentinels[0], s.sentinels[i] = s.sentinels[i], s.sentinels[0]
			return net.JoinHostPort(address[0], address[1]), nil
		}
		errs = errors.Join(errs, err)
	}
	return "", errs
}

func (s *sentinel) close() {
	for _, client := range s.sentinels {
		client.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		s.data.Close()
	}
}

func (s *sentinel) client(ctx context.Context, _ string) (*redis.Client, error) {
	select {
	case <-s.asked:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		return nil, s.err
	}
	return s.data, nil
}

func (s *sentinel) address(ctx context.Context, key string) (string, error) {
	client, err := s.client(ctx, key)
	if err != nil {
		return "", err
	}
	return client.Options().Addr, nil
}

func (s *sentinel) stale(context.Context) {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
