package pusher

import (
	"context"
	"net/http"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// NewXHR returns what serves a gateway's apps. It is made once for a gateway.
func NewXHR(g *gateway.Gateway, apps *Apps) *XHR {
	x := &XHR{
		gateway: g, apps: apps, patience: orderPatience,
		stays: make(map[string]*stay), windows: make(map[string]*window), homes: make(map[string]string),
	}
	g.Nodes.Hear(topicRead, heard(x.hearRead))
	g.Nodes.Hear(topicLeave, heard(x.hearLeave))
	g.Nodes.Hear(topicLines, heard(x.hearLines))
	g.Nodes.Hear(topicSay, heard(x.hearSaid))
	g.Nodes.Hear(topicBegan, heard(x.hearBegan))
	return x
}

// Route adds the paths to a mux. Pages of other origins send requests to them: wrap
// allows those, or refuses.
func (x *XHR) Route(mux *http.ServeMux, wrap func(http.Handler) http.Handler) {
	const path = "/pusher/app/{key}/{number}/{text}/"
	for name, serve := range map[string]http.HandlerFunc{
		"xhr_streaming": func(w http.ResponseWriter, r *http.Request) { x.listen(w, r, true) },
		"xhr":           func(w http.ResponseWriter, r *http.Request) { x.listen(w, r, false) },
		"xhr_send":      x.send,
	} {
		mux.Handle(path+name, wrap(transport.Only(serve, http.MethodPost)))
	}
}

// Drain has the clients leave whose requests are here and whose sessions are on other
// nodes, spread over a time. Those of sessions of this node the gateway sends away.
func (x *XHR) Drain(ctx context.Context, over time.Duration) {
	x.mu.Lock()
	x.draining = true
	windows := make([]*window, 0, len(x.windows))
	for _, win := range x.windows {
		if win.home != x.gateway.Node() {
			windows = append(windows, win)
		}
	}
	x.mu.Unlock()
	for _, win := range windows {
		select {
		case <-time.After(over / time.Duration(len(windows))):
		case <-ctx.Done():
			return
		}
		_ = x.gateway.Nodes.Tell(ctx, win.home, topicLeave, readWord{Session: win.session, Ticket: win.ticket, Drain: true}) // else the request breaks off
	}
}

// Wait returns when nothing is done for clients any more. Call it when the gateway has
// ended all sessions and no handler runs any more.
func (x *XHR) Wait() {
	x.mu.Lock()
	for _, s := range x.stays {
		s.stop()
	}
	x.mu.Unlock()
	x.working.Wait()
}
