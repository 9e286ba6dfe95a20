package gateway

import (
	"context"
	"time"

	"tidegate/gateway/internal/pause"
)

// EndPatience is how long after the drain window a node has ended at the latest, whatever
// peers, the broker and the backend do not answer.
const EndPatience = 3 * time.Second

const (
	leavePatience = 2 * time.Second // after its notice a client may take to leave
	closedReserve = time.Second / 2 // of EndPatience, for connections to be closed
	drainMargin   = time.Second / 2 // of the window, or a quarter of it: nobody is told to leave then, so that a busy machine ends in time, too
)

// Shutdown sends the sessions away: the node is not ready from now on and opens
// no session; each client is told to come back elsewhere, paced evenly over the
// drain window, and closed if it has not left 2 s after that. It returns when no
// session is left or all have been closed, or with ctx's error. Run is to end then.
func (g *Gateway) Shutdown(ctx context.Context) error {
	began := time.Now()
	g.beginEnd(began.Add(g.pacing() + EndPatience))
	sessions := g.sessions.all()
	g.log.Info("draining", "sessions", len(sessions), "window", g.window)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := make(chan struct{})
	g.background.Go(func() {
		defer close(closed)
		g.closeNotified(ctx, sessions, began)
	})
	for i, s := range sessions {
		if !pause.Until(ctx, g.due(i, len(sessions), began)) {
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

// closeNotified closes each session a while after its notice. Sessions that
// opened while the node began to drain are closed last.
func (g *Gateway) closeNotified(ctx context.Context, sessions []*Session, began time.Time) {
	for i, s := range sessions {
		if !pause.Until(ctx, g.due(i, len(sessions), began).Add(leavePatience)) {
			return
		}
		s.Close(Draining)
	}
	for _, s := range g.sessions.all() {
		s.Close(Draining)
	}
}

// beginEnd notes when the node has ended at the latest, if it is not known yet.
func (g *Gateway) beginEnd(by time.Time) {
	g.draining.Store(true)
	g.endBy.CompareAndSwap(0, by.UnixNano())
}

// lastWord returns by when all has been said that a node which ends has to say: to the
// broker, the backend and other nodes. It is of use once the node ends.
func (g *Gateway) lastWord() time.Time { return time.Unix(0, g.endBy.Load()).Add(-closedReserve) }

// due returns when the i-th of n sessions is told to leave.
func (g *Gateway) due(i, n int, began time.Time) time.Time {
	return began.Add(g.pacing() * time.Duration(i) / time.Duration(n))
}

// pacing is how long clients are told to leave.
func (g *Gateway) pacing() time.Duration { return g.window - min(g.window/4, drainMargin) }
