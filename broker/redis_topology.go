package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// topology knows which Redis server is the master of a key. All methods may be
// called concurrently.
type topology interface {
	// run watches for changes of masters and calls moved for each, until ctx
	// ends; then it closes all clients. It calls what may panic through wall.
	run(ctx context.Context, wall func(func() error) error, moved func(error))

	// client returns the client of the key's master, and address where it
	// listens.
	client(ctx context.Context, key string) (*redis.Client, error)
	address(ctx context.Context, key string) (string, error)

	// stale says that an answer proved wrong.
	stale(ctx context.Context)

	// once returns a client that connects a single time. Whenever it is about to
	// wait for Redis it calls waits.
	once(address string, waits func()) *redis.Client
}

func newTopology(t redisTarget, c *tls.Config, poolSize int) topology {
	if t.tls && c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if !t.tls {
		c = nil
	}
	dial := redisDialer{target: t, tls: c, poolSize: poolSize}
	switch t.mode {
	case redisSentinel:
		return newSentinel(dial)
	case redisCluster:
		return newCluster(dial)
	default:
		return newStandalone(dial)
	}
}

// standalone is one Redis server.
type standalone struct {
	redisDialer
	only *redis.Client
}

func newStandalone(d redisDialer) *standalone {
	return &standalone{redisDialer: d, only: redis.NewClient(d.options(d.target.addresses[0]))}
}

func (s *standalone) run(ctx context.Context, _ func(func() error) error, _ func(error)) {
	<-ctx.Done()
	s.only.Close()
}

func (s *standalone) client(context.Context, string) (*redis.Client, error) { return s.only, nil }

func (s *standalone) address(context.Context, string) (string, error) {
	return s.target.addresses[0], nil
}

func (s *standalone) stale(context.Context) {}

// redisDialer makes clients that all treat time the same: nothing is tried twice
// behind the broker's back, since a publish that is sent again is published
// again, and every operation keeps to the time that its context has.
type redisDialer struct {
	target   redisTarget
	tls      *tls.Config
	poolSize int
}

func (d redisDialer) options(address string) *redis.Options {
	o := &redis.Options{
		Addr:                     address,
		Username:                 d.target.user,
		Password:                 d.target.password,
		DB:                       d.target.database,
		TLSConfig:                d.tls,
		Protocol:                 2,
		MaxRetries:               -1,
		DialerRetries:            1,
		DialTimeout:              answerTimeout,
		ReadTimeout:              readTimeout,
		WriteTimeout:             answerTimeout,
		PoolTimeout:              answerTimeout,
		PoolSize:                 d.poolSize,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		OnConnect:                loadScript,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	o.Dialer = dialer(dialer(redis.NewDialer(o)).direct).bounded
	return o
}

// loadScript sees to it that a server knows the script that publishes. One that
// was told so in answer to a publish would have it after those that were sent
// behind it. Whether it may be loaded shows when it is used.
func loadScript(ctx context.Context, c *redis.Conn) error {
	_ = c.ScriptLoad(ctx, AppendScript).Err()
	return nil
}

var errOneConnection = errors.New("the connection has ended")

// once returns a client that connects a single time. go-redis reconnects a
// subscriber by itself and in silence; without a second connection it cannot.
func (d redisDialer) once(address string, waits func()) *redis.Client {
	o := d.options(address)
	o.OnConnect = nil // it runs no script
	dial := o.Dialer
	var dialled atomic.Bool
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled.Swap(true) {
			return nil, errOneConnection
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return waitingConn{conn, waits}, nil
	}
	return redis.NewClient(o)
}

// waitingConn tells when it is read from: all that was read before has been dealt
// with then, as far as it was whole.
type waitingConn struct {
	net.Conn
	waits func()
}

func (c waitingConn) Read(p []byte) (int, error) {
	c.waits()
	return c.Conn.Read(p)
}

const (
	masterAttempts = 3 // to find the master when it has moved
	masterWait     = 100 * time.Millisecond
)

// findMaster has the masters looked up again and gives that a moment. It reports
// whether there is time left.
func (b *Redis) findMaster(ctx context.Context) bool {
	b.topology.stale(ctx)
	return sleep(ctx, masterWait)
}

// wrongMaster reports whether a server refused a command because another one is
// the master.
func wrongMaster(err error) bool {
	return redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") ||
		redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "READONLY")
}

// isLost reports whether err is the connection's, and not an answer of Redis.
func isLost(err error) bool {
	var answer redis.Error
	return err != nil && !errors.As(err, &answer)
}
