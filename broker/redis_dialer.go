package broker

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisDialer makes clients that all handle time alike. They retry nothing on their own,
// since a publish that is sent twice is published twice, and every operation obeys the
// deadline of its context.
type redisDialer struct {
	target   redisTarget
	tls      *tls.Config
	other    dialer // replaces TCP and TLS; nil if there is none
	poolSize int    // connections of one client: two lanes of each partition, three pools, and a look
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

func (d redisDialer) plain(address string) dialer {
	if d.other != nil {
		return d.other
	}
	return dialer(redis.NewDialer(&redis.Options{Addr: address, TLSConfig: d.tls, DialTimeout: answerTimeout})).direct
}

func (d redisDialer) dial(ctx context.Context, address string) (net.Conn, error) {
	return d.plain(address)(ctx, "tcp", address)
}

// loadScript loads the script that publishes into a new server. If the server got it only
// after it refused a publish, that one would come after those sent behind it. Errors are
// ignored: if loading is forbidden, that shows when the script is used.
func loadScript(ctx context.Context, c *redis.Conn) error {
	_ = c.ScriptLoad(ctx, AppendScript).Err()
	return nil
}
