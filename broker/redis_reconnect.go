package broker

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// run keeps a connection open until ctx ends.
func (l *link) run(ctx context.Context) {
	backoff := minBackoff
	for {
		c := &connection{link: l}
		err := l.servers.wall(func() error { return c.run(ctx) })
		if ctx.Err() != nil {
			l.disconnect(context.Cause(ctx))
			return
		}
		l.disconnect(err)
		l.servers.stale()
		if c.restored.Load() {
			backoff = minBackoff
		}
		if !sleep(ctx, backoff/2+rand.N(backoff)) {
			l.disconnect(context.Cause(ctx))
			return
		}
		backoff = min(2*backoff, maxBackoff)
		if reconnect := l.servers.observe.Reconnect; reconnect != nil {
			reconnect()
		}
	}
}
