package gateway

import (
	"context"
	"time"

	"tidegate/broker/lock"
)

// beat looks after the sessions, a part of them each second, so that each one's
// turn comes once in a ping interval and none needs a timer of its own.
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

// lookAfter does what is due each second.
func (g *Gateway) lookAfter(now time.Time) {
	g.expiring.closeDue(now)
	g.hub.releaseDeparted(g.life, now)
	g.hub.timelines.Sweep(now)
	g.boundOutboxes()
	g.rates.Sweep(now)
}

// checkAlive asks a silent peer for a sign of life, or ends the session of one
// that was asked and gave none. It also sees to it that no end of a token or of a
// subscription is missed.
func (s *Session) checkAlive(now time.Time) {
	defer s.gateway.wall.Catch("look after a session", s.crash)
	s.gateway.expireSoon(s, s.nextEnd())
	if !s.out.Attached() {
		return
	}
	silent := now.Sub(s.conn.Heard())
	switch ping := s.gateway.ping; {
	case silent > 2*ping+pingGrace:
		s.Close(TimedOut)
	case silent > ping/2 || s.pinged:
		s.push(s.dialect.heartbeat)
	}
}

const pingGrace = 2 * time.Second

// expiring are the sessions of which a token or a subscription ends before their next
// turn comes.
type expiring struct {
	mu       lock.Mutex[lock.Expiring]
	sessions map[*Session]struct{}
}

// expireSoon puts a session on the list of those that are watched each second, if
// something of it ends soon.
func (g *Gateway) expireSoon(s *Session, end time.Time) {
	if end.IsZero() || time.Until(end) > g.ping+pingGrace {
		return
	}
	e := &g.expiring
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions == nil {
		e.sessions = make(map[*Session]struct{})
	}
	e.sessions[s] = struct{}{}
}

// closeDue ends the sessions whose tokens have ended, and the subscriptions.
func (e *expiring) closeDue(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sessions {
		switch end := s.nextEnd(); {
		case !s.out.Open():
			delete(e.sessions, s)
		case end.IsZero() || end.Sub(now) > 2*s.gateway.ping:
			delete(e.sessions, s) // renewed
		case now.Before(end):
		case end != s.who().Expires:
			s.goOn(s.leaveEnded)
		default:
			delete(e.sessions, s)
			s.Close(TokenExpired)
		}
	}
}

// checkOften looks for lost messages in quiet channels.
func (g *Gateway) checkOften(ctx context.Context) {
	if g.history == nil {
		return
	}
	for pause(ctx, checkInterval) {
		g.wall.Do("look for losses in quiet channels", func() { g.checkQuiet(ctx) })
	}
}

const checkInterval = 5 * time.Second
