package gateway

import (
	"context"
	"math/rand/v2"
	"time"
)

const leavePatience = 2 * time.Second // after its notice a client may take to leave

// Shutdown sends the sessions away: the node is not ready from now on and opens
// no session; each client is told to come back elsewhere, paced evenly over the
// drain window, and closed if it has not left 2 s after that. It returns when no
// session is left, or with ctx's error.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.draining.Store(true)
	sessions := g.sessions.all()
	g.log.Info("draining", "sessions", len(sessions), "window", g.window)
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.background.Go(func() { g.closeNotified(ctx, sessions, began) })
	for i, s := range sessions {
		if !pauseUntil(ctx, g.due(i, len(sessions), began)) {
			break
		}
		s.tell(Reconnect{Within: leavePatience})
	}
	select {
	case <-g.sessions.gone():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeNotified closes each session a while after its notice. Sessions that
// opened while the node began to drain are closed last.
func (g *Gateway) closeNotified(ctx context.Context, sessions []*Session, began time.Time) {
	for i, s := range sessions {
		if !pauseUntil(ctx, g.due(i, len(sessions), began).Add(leavePatience)) {
			return
		}
		s.Close(Draining)
	}
	for _, s := range g.sessions.all() {
		s.Close(Draining)
	}
}

// due returns when the i-th of n sessions is told to leave.
func (g *Gateway) due(i, n int, began time.Time) time.Time {
	return began.Add(g.window * time.Duration(i) / time.Duration(n))
}

func pauseUntil(ctx context.Context, t time.Time) bool {
	if d := time.Until(t); d > 0 {
		return pause(ctx, d)
	}
	return ctx.Err() == nil
}

// dismiss closes sessions spread over some seconds, so that they do not come
// back all at once.
func (g *Gateway) dismiss(sessions []*Session, reason Reason) {
	g.background.Go(func() {
		began := time.Now()
		for i, s := range sessions {
			if !pauseUntil(g.life, began.Add(dismissWindow*time.Duration(i)/time.Duration(len(sessions)))) {
				return
			}
			s.Close(reason)
		}
	})
}

const dismissWindow = 3 * time.Second

// endSoon closes a session for what it cannot be told otherwise. A gap is likely
// to be many sessions' at once: then it is at some moment of the dismissWindow.
func (g *Gateway) endSoon(s *Session, reason Reason) {
	if !reason.Is(Missed) {
		s.Close(reason)
		return
	}
	g.background.Go(func() {
		if pause(g.life, rand.N(dismissWindow)) {
			s.Close(reason)
		}
	})
}
