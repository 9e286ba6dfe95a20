package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"
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
