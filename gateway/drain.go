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
	for i, s := range sessions {
		if !pause.Until(ctx, g.drain.due(i, len(sessions), began)) {
			return ctx.Err()
		}
		s.tell(Reconnect{Within: leavePatience})
		time.AfterFunc(leavePatience, func() { s.Close(Draining) })
	}
	_ = pause.Await(ctx, g.sessions.gone(), leavePatience)
	if ctx.Err() == nil {
		for _, s := range g.sessions.all() { // those that opened while the drain began
			s.Close(Draining)
		}
	}
	return ctx.Err()
}
