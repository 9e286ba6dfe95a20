package gateway

import (
	"log/slog"
	"time"
)

// End is called when the client sends no more, because of err. It ends the session and
// returns the reason why it has ended: that of err, unless it had ended before.
func (s *Session) End(err error) Reason {
	s.Close(ReasonOf(err))
	s.Rest()
	return ReasonOf(s.out.Why())
}

// Close ends the session and sends the client the reason, if the transport can. It does not
// block. Only the first call has an effect.
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

// quit removes the session from a channel, tells the client, and reports whether it was on it. It
// waits for the broker afterwards: the client may subscribe again meanwhile.
func (s *Session) quit(e Unsubscribed) bool {
	sub := s.places.drop(e.Channel)
	if sub == nil {
		return false
	}
	s.part(sub, e)
	s.gateway.hub.Release(&sub.Subscription)
	return true
}

// quitIf is like quit for the subscriptions for which why returns an error, but does not wait for
// the broker: other sessions wait for their turn. It calls why with places.mu held.
func (s *Session) quitIf(why func(*subscription) error) {
	var errs []error
	left := s.places.dropIf(func(sub *subscription) bool {
		err := why(sub)
		if err != nil {
			errs = append(errs, err)
		}
		return err != nil
	})
	if len(left) == 0 {
		return
	}
	for i, sub := range left {
		e := ErrorOf(errs[i])
		s.part(sub, Unsubscribed{Channel: sub.Channel(), Code: e.Code, Reason: e.Message, Expired: e == errExpired})
	}
	s.goOn(func() {
		for _, sub := range left {
			s.gateway.hub.Release(&sub.Subscription)
		}
	})
}

// part ends a subscription that was removed from the session's places, and tells the client. The
// caller must release the subscription.
func (s *Session) part(sub *subscription, e Unsubscribed) {
	s.places.noteEnd(sub, e.Code)
	sub.Leave()
	s.tell(e)
}

// goOn runs f, a part of the session's work, in a new goroutine. A panic ends the session.
func (s *Session) goOn(f func()) {
	s.gateway.background.Go(func() {
		defer s.gateway.wall.Catch("work for a session", s.crash)
		f()
	})
}

// crash ends a session after a panic in its writer or in other work for it. Because it is
// unknown what the client has received, nothing more is written.
func (s *Session) crash() {
	attached := s.out.Abandon()
	s.Close(Failed)
	if attached {
		s.closeConn(Failed, nil)
	}
}

// leave releases everything that the session holds.
func (s *Session) leave(reason Reason) {
	s.mu.Lock()
	s.left = true
	s.stopPending()
	s.mu.Unlock()
	s.dropHeaders()
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
		level = slog.LevelError // so that the log shows whose session it was, next to the panic
	}
	if !g.log.Enabled(g.life, level) {
		return // do not format a record that nobody reads
	}
	g.log.Log(g.life, level, "session closed", "session", s.id, "user", s.who().User, "remote", s.remote,
		"reason", reason.Label, "text", reason.Text, "after", time.Since(time.Unix(0, s.opened)).Round(time.Millisecond))
}
