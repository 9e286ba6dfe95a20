package gateway

import (
	"context"
	"time"

	"tidegate/gateway/internal/pause"
)

// beat checks the sessions, one slot of them per second. Each session thus has its turn once
// in a ping interval, and none needs a timer of its own.
func (g *Gateway) beat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for slot := 0; ; slot++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range g.sessions.at(slot) {
				s.checkAlive(now)
			}
			g.wall.Do("look after the sessions", func() { g.lookAfter(now) })
		}
	}
}

// lookAfter does what is due every second.
func (g *Gateway) lookAfter(now time.Time) {
	g.expiring.closeDue(now)
	g.hub.Sweep(now)
	g.sessions.boundOutboxes(g.limits.OutboxTotalBytes, g.log)
	g.Budget.rates.Sweep(now)
}

// checkAlive pings a silent peer, or ends its session if it has not answered. It also makes
// sure that no expiry of a token or of a subscription is missed.
func (s *Session) checkAlive(now time.Time) {
	defer s.gateway.wall.Catch("look after a session", s.crash)
	s.gateway.expireSoon(s, s.places.nextEnd(s.who().Expires))
	if !s.out.Attached() {
		return
	}
	silent := now.Sub(s.conn.Heard())
	switch ping := s.gateway.ping; {
	case silent > 2*ping+pingGrace && s.gathered.Load() == nil: // else it may not be listened to
		s.Close(TimedOut)
	case silent > ping/2 || s.pinged:
		s.push(s.dialect.heartbeat)
	}
}

// checkOften looks for lost messages in quiet channels, every checkInterval.
func (g *Gateway) checkOften(ctx context.Context) {
	if g.history == nil {
		return
	}
	for pause.For(ctx, checkInterval) {
		g.wall.Do("look for losses in quiet channels", func() { g.hub.CheckQuiet(ctx) })
	}
}

const checkInterval = 5 * time.Second
