package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"
)

// RedisConfig says where Redis is and how to use it.
type RedisConfig struct {
	// URL is one of
	//
	//	redis://[user:password@]host[:6379][/database]
	//	redis+sentinel://[user:password@]host[:26379],host…/mastername[/database]
	//	redis+cluster://[user:password@]host[:6379],host…
	//
	// with rediss in place of redis for TLS. The credentials of a Sentinel that has its own
	// are given as ?sentinel_user=…&sentinel_password=…. Redis 6.2 or later is required, 7
	// for a Cluster; Valkey works, too.
	URL string

	// Prefix begins every channel and key; "" means DefaultPrefix. Pub/sub ignores database
	// numbers: with a database other than 0, Prefix must not be the default.
	Prefix string

	TLSFiles    RedisTLS      // for rediss
	Connections int           // connections for subscriptions outside of a Cluster; 0 means 4
	Linger      time.Duration // how long to delay an unsubscribe, in case of a new subscribe; 0 means 1 s

	// Dial opens every connection to Redis, including encryption. nil dials TCP, with TLS
	// as above.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Log     *slog.Logger // nil logs nothing
	Observe RedisObserver
}

// DefaultPrefix is the default prefix of all names in Redis.
const DefaultPrefix = "tidegate:"

// RedisObserver gets events of the broker. Fields may be nil. The functions must not block
// and must be safe for concurrent use.
type RedisObserver struct {
	RoundTrip func(time.Duration) // the time that a pipeline or a script took
	Reconnect func()              // an attempt to restore a lost link begins
	Panic     func()              // a panic was recovered; the work that it ended was started again
	Refused   func(kind string)   // Redis answered with an error; see RefusalKinds
}

// encryption returns the TLS configuration of connections, or nil if they are not
// encrypted.
func (c RedisConfig) encryption(t redisTarget) (*tls.Config, error) {
	switch {
	case t.tls:
		return c.TLSFiles.config()
	case c.TLSFiles != RedisTLS{}:
		return nil, errors.New("redis TLS: files are named for it, and the URL is without: begin it with rediss")
	}
	return nil, nil
}

func (c RedisConfig) withDefaults() RedisConfig {
	c.Prefix, c.Linger = cmp.Or(c.Prefix, DefaultPrefix), cmp.Or(c.Linger, time.Second)
	if c.Connections <= 0 {
		c.Connections = 4
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
