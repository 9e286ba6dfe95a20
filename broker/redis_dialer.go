package broker

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

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

// loadScript sees to it that a server knows the script that publishes. One that
// was told so in answer to a publish would have it after those that were sent
// behind it. Whether it may be loaded shows when it is used.
func loadScript(ctx context.Context, c *redis.Conn) error {
	_ = c.ScriptLoad(ctx, AppendScript).Err()
	return nil
}
