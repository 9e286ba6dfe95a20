package broker

import (
	"context"
	"net"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
)

// topology knows which Redis server is the master of a key. All methods except look are
// safe for concurrent use.
type topology interface {
	// look finds out which servers are the masters, or gives up within two answerTimeouts.
	look(ctx context.Context)

	// client returns the client of the key's master. If the last look is too old it waits
	// for one.
	client(ctx context.Context, key string) (*redis.Client, error)

	// renew replaces a client whose connections may lead to a former master, although
	// another server has its address by now.
	renew(wrong *redis.Client)

	// address returns the address of the key's master, as of the last look.
	address(key string) (string, error)

	// gave reports whether the former master of a key is sure to have handed all data of
	// the key's slot over to the process to. It takes at most half a second.
	gave(ctx context.Context, key string, former mastership, to *process) bool

	// dial opens a connection that belongs to no client.
	dial(ctx context.Context, address string) (net.Conn, error)

	// close closes all clients.
	close()
}

func newTopology(dial redisDialer, prefixes []string) topology {
	switch dial.target.mode {
	case redisSentinel:
		return newSentinel(dial)
	case redisCluster:
		return newCluster(dial, prefixes)
	default:
		return newStandalone(dial)
	}
}

// standalone is a topology of one Redis server.
type standalone struct {
	redisDialer

	// Guarded by mu.
	mu   lock.Mutex[lock.Masters]
	only *redis.Client
}

func newStandalone(d redisDialer) *standalone {
	return &standalone{redisDialer: d, only: redis.NewClient(d.options(d.target.addresses[0]))}
}

func (s *standalone) look(context.Context) {}

func (s *standalone) client(context.Context, string) (*redis.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.only, nil
}

func (s *standalone) renew(wrong *redis.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.only == wrong {
		s.only = s.again(wrong)
	}
}

func (s *standalone) address(string) (string, error) { return s.target.addresses[0], nil }

func (s *standalone) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.only.Close()
}

// gave implements topology where there are no slots.
func (redisDialer) gave(context.Context, string, mastership, *process) bool { return false }
