package gateway

import (
	"log/slog"
	"time"
)

// End says that the client sends no more, because of err, and returns why the
// session has ended: for that, or for what ended it before.
func (s *Session) End(err error) Reason {
	s.Close(ReasonOf(err))
	s.Rest()
	return ReasonOf(s.out.Why())
}

// Close ends the session; the client is told the reason if the transport can.
// It returns at once; only the first call counts.
func (s *Session) Close(reason Reason) {
	first, wakes := s.out.End(reason.ending(), time.Now())
	if !first {
		return
	}
	if wakes {
		s.gateway.line.Queue(&s.out)
	}
	s.gateway.background.Go(func() {
		s.leave(reason)
	})
}

// quit takes the session off a channel, and reports whether it was on it.
func (s *Session) quit(name string) bool {
	sub := s.places.drop(name)
	if sub == nil {
		return false
	}
	s.gateway.hub.Release(&sub.Subscription)
	return true
}

// goOn runs f, a part of the session's work, in a goroutine of its own. If it
// panics the session ends.
func (s *Session) goOn(f func()) {
	s.gateway.background.Go(func() {
		defer s.gateway.wall.Catch("work for a session", s.crash)
		f()
	})
}

// crash ends a session whose writer, or work beside it, has panicked. Nothing is
// known of what the client has got, so nothing more is written.
func (s *Session) crash() {
	attached := s.out.Abandon()
	s.Close(Failed)
	if attached {
		s.closeConn(Failed, nil)
	}
}

// leave gives up all that the session holds.
func (s *Session) leave(reason Reason) {
	s.mu.Lock()
	s.left = true
	s.stopPending()
	s.mu.Unlock()
	s.purse.close(s.gateway.Budget)
	s.special.giveRoom()
	for _, sub := range s.places.close() {
		s.gateway.wall.Do("leave a channel", func() { s.gateway.hub.Release(&sub.Subscription) })
	}
	s.unregister(reason)
	s.gateway.sessions.remove(s)
	s.gateway.noteClosed(s, reason)
}

func (g *Gateway) noteClosed(s *Session, reason Reason) {
	g.metrics.Sessions.Closed(s.transport, s.dialect.protocol.Name(), reason.Label)
	if reason.Is(SlowConsumer) {
		g.metrics.Sessions.Slow.Inc()
	}
	level := slog.LevelDebug
	if reason.Is(Failed) {
		level = slog.LevelError // whose it was is told beside the fault itself
	}
	if !g.log.Enabled(g.life, level) {
		return // its words would be made for nothing
	}
	g.log.Log(g.life, level, "session closed", "session", s.id, "user", s.who().User, "remote", s.remote,
		"reason", reason.Label, "text", reason.Text, "after", time.Since(time.Unix(0, s.opened)).Round(time.Millisecond))
}
