package broker

import (
	"context"
	"net"
	"slices"

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
		return &standalone{newClients(dial)}
	}
}

// clients is what all kinds of topology share: a client of each server in use.
type clients struct {
	redisDialer
	looked *looks

	// Guarded by mu.
	mu   lock.Mutex[lock.Masters]
	open map[string]*redis.Client // by address; nil once closed
}

func newClients(d redisDialer) clients {
	return clients{redisDialer: d, looked: newLooks(), open: make(map[string]*redis.Client)}
}

// clientOf returns the client of the server that address names, once there is a valid look.
func (c *clients) clientOf(ctx context.Context, key string, address func(key string) (string, error)) (*redis.Client, error) {
	if err := c.looked.wait(ctx); err != nil {
		return nil, err
	}
	at, err := address(key)
	if err != nil {
		return nil, err
	}
	return c.at(at), nil
}

// at returns the client for an address, and creates it if necessary. After close it returns one
// that is closed.
func (c *clients) at(address string) *redis.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.open[address]
	if client == nil {
		client = redis.NewClient(c.options(address))
		if c.open == nil {
			client.Close()
			return client
		}
		c.open[address] = client
	}
	return client
}

func (c *clients) renew(wrong *redis.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, client := range c.open {
		if client == wrong {
			wrong.Close()
			c.open[address] = redis.NewClient(c.options(address))
		}
	}
}

// closeOthers closes the clients of all servers but those used. The caller must hold mu.
func (c *clients) closeOthers(used ...string) {
	for address, client := range c.open {
		if !slices.Contains(used, address) {
			client.Close()
			delete(c.open, address)
		}
	}
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeOthers()
	c.open = nil
}

// gave implements topology where there are no slots.
func (*clients) gave(context.Context, string, mastership, *process) bool { return false }

// standalone is a topology of one Redis server.
type standalone struct{ clients }

func (s *standalone) look(context.Context) {}

func (s *standalone) client(context.Context, string) (*redis.Client, error) {
	return s.at(s.target.addresses[0]), nil
}

func (s *standalone) address(string) (string, error) { return s.target.addresses[0], nil }
