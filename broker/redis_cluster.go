package broker

import (
	"context"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// cluster is a Redis Cluster. Where a slot is now, go-redis knows.
type cluster struct {
	redisDialer
	nodes *redis.ClusterClient
}

func newCluster(d redisDialer) *cluster {
	o := d.options("")
	return &cluster{redisDialer: d, nodes: redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                    d.target.addresses,
		Username:                 o.Username,
		Password:                 o.Password,
		TLSConfig:                o.TLSConfig,
		Protocol:                 o.Protocol,
		MaxRedirects:             -1,
		MaxRetries:               o.MaxRetries,
		DialerRetries:            o.DialerRetries,
		DialTimeout:              o.DialTimeout,
		ReadTimeout:              o.ReadTimeout,
		WriteTimeout:             o.WriteTimeout,
		PoolTimeout:              o.PoolTimeout,
		PoolSize:                 o.PoolSize,
		ContextTimeoutEnabled:    o.ContextTimeoutEnabled,
		DisableIdentity:          o.DisableIdentity,
		OnConnect:                o.OnConnect,
		Dialer:                   o.Dialer,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
}

func (c *cluster) run(ctx context.Context, _ func(func() error) error, _ func(error)) {
	<-ctx.Done()
	c.nodes.Close()
}

func (c *cluster) client(ctx context.Context, key string) (*redis.Client, error) {
	return c.nodes.MasterForKey(ctx, key)
}

func (c *cluster) address(ctx context.Context, key string) (string, error) {
	master, err := c.nodes.MasterForKey(ctx, key)
	if err != nil {
		return "", err
	}
	return master.Options().Addr, nil
}

func (c *cluster) stale(ctx context.Context) { c.nodes.ReloadState(ctx) }
