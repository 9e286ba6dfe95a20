package gateway

import (
	"context"
	"time"

	"tidegate/gateway/internal/pause"
)

// Shutdown drains the node: it is no longer ready and opens no more sessions. Each client is
// asked to reconnect elsewhere, at a steady pace over the drain window, and is disconnected
// if it has not left 2 s after that. Shutdown returns when no session is left or all have
// been closed, or with ctx's error. Then the caller should end Run.
func (g *Gateway) Shutdown(ctx context.Context) error {
	began := time.Now()
	g.drain.begin(began.Add(g.drain.pacing() + EndPatience))
	sessions := g.sessions.all()
	g.log.Info("draining", "sessions", len(sessions), "window", g.drain.window)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan struct{})
	g.background.Go(func() {
		defer close(closed)
		g.closeNotified(ctx, sessions, began)
	})
	for i, s := range sessions {
		if !pause.Until(ctx, g.drain.due(i, len(sessions), began)) {
			break
		}
		s.tell(Reconnect{Within: leavePatience})
	}
	select {
	case <-g.sessions.gone():
		return nil
	case <-closed:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeNotified closes each session leavePatience after its notice. Sessions that opened
// while the drain began are closed last.
func (g *Gateway) closeNotified(ctx context.Context, sessions []*Session, began time.Time) {
	for i, s := range sessions {
		if !pause.Until(ctx, g.drain.due(i, len(sessions), began).Add(leavePatience)) {
			return
		}
		s.Close(Draining)
	}
	for _, s := range g.sessions.all() {
		s.Close(Draining)
	}
}
