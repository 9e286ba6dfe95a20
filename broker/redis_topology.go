package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"tidegate/broker/lock"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// topology knows which Redis server is the master of a key. All methods may be
// called concurrently, but look.
type topology interface {
	// look finds out who the masters are, or fails to within two answerTimeouts.
	look(ctx context.Context)

	// client returns the client of the key's master. It waits for a look, if there has
	// been none for long.
	client(ctx context.Context, key string) (*redis.Client, error)

	// renew replaces a client whose connections may lead to a server that is no
	// master, though another is behind the same address by now.
	renew(wrong *redis.Client)

	// address returns where that listens, as of the last look.
	address(key string) (string, error)

	// gave reports whether the former master of a key is sure to have left all that is
	// behind it to another one. It takes half a second at most.
	gave(ctx context.Context, key string, former mastership, to *process) bool

	// dial opens a connection that is not a client's.
	dial(ctx context.Context, address string) (net.Conn, error)

	// close closes all clients.
	close()
}

func newTopology(b *Redis, poolSize int) topology {
	dial := redisDialer{target: b.target, tls: b.config.TLS, other: b.config.Dial, poolSize: poolSize}
	switch b.target.mode {
	case redisSentinel:
		return newSentinel(dial)
	case redisCluster:
		return newCluster(dial, b.partitions)
	default:
		return newStandalone(dial)
	}
}

// standalone is one Redis server.
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

// redisDialer makes clients that all treat time the same: nothing is tried twice
// behind the broker's back, since a publish that is sent again is published
// again, and every operation keeps to the time that its context has.
type redisDialer struct {
	target   redisTarget
	tls      *tls.Config
	other    dialer // nil: none in place of TCP
	poolSize int
}

func (d redisDialer) options(address string) *redis.Options {
	return &redis.Options{
		Addr:                     address,
		Username:                 d.target.user,
		Password:                 d.target.password,
		DB:                       d.target.database,
		TLSConfig:                d.tls,
		Dialer:                   dialer(d.plain(address)).bounded,
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
}

// again closes a client and returns another one to the same address.
func (d redisDialer) again(client *redis.Client) *redis.Client {
	client.Close()
	return redis.NewClient(d.options(client.Options().Addr))
}

func (d redisDialer) plain(address string) dialer {
	if d.other != nil {
		return d.other
	}
	return dialer(redis.NewDialer(&redis.Options{Addr: address, TLSConfig: d.tls, DialTimeout: answerTimeout})).direct
}

func (d redisDialer) dial(ctx context.Context, address string) (net.Conn, error) {
	return d.plain(address)(ctx, "tcp", address)
}

// gave is for what has no slots.
func (redisDialer) gave(context.Context, string, mastership, *process) bool { return false }

// loadScript sees to it that a server knows the script that publishes. One that
// was told so in answer to a publish would have it after those that were sent
// behind it. Whether it may be loaded shows when it is used.
func loadScript(ctx context.Context, c *redis.Conn) error {
	_ = c.ScriptLoad(ctx, AppendScript).Err()
	return nil
}

// looks are those that there have been at where the masters are.
type looks struct {
	// Guarded by mu.
	mu   lock.Mutex[lock.Masters]
	last time.Time     // zero: there was none
	next chan struct{} // closed when the next one is over
}

func newLooks() *looks { return &looks{next: make(chan struct{})} }

// over says that a look is.
func (l *looks) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.next)
	l.last, l.next = time.Now(), make(chan struct{})
}

// knownFor is how long a look holds. There is one a second: a node that has had none for
// longer has stood still, and another server may be the master by now.
const knownFor = 3 * time.Second

// wait returns when there has been a look that holds.
func (l *looks) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		known, next := !l.last.IsZero() && time.Since(l.last) < knownFor, l.next
		l.mu.Unlock()
		if known {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	masterAttempts = 3 // to find the master when it has moved
	masterWait     = 100 * time.Millisecond
)

// findMaster has the masters looked up again and gives that a moment. It reports
// whether there is time left.
func (b *Redis) findMaster(ctx context.Context) bool {
	b.stale()
	return sleep(ctx, masterWait)
}

// wrongMaster reports whether a server refused a command because another one is
// the master.
func wrongMaster(err error) bool {
	return err != nil && (redis.HasErrorPrefix(err, "MOVED") || redis.HasErrorPrefix(err, "ASK") ||
		redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "READONLY"))
}

// isReadonly reports whether a server is no master, by what it says.
func isReadonly(err error) bool {
	return errors.Is(err, errReplica) || redis.HasErrorPrefix(err, "READONLY")
}

// isLost reports whether err is the connection's, and not an answer of Redis.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	var answer redis.Error
	return !errors.As(err, &answer)
}
