package pusher

import (
	"context"
	"net/http"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/transport"
)

// NewXHR returns an XHR that serves a gateway's apps. Call it once per gateway.
func NewXHR(g *gateway.Gateway, apps *Apps) *XHR {
	x := &XHR{
		gateway: g, apps: apps, patience: orderPatience, working: wall.Group{Wall: g.Wall()},
		stays: make(map[string]*stay), windows: make(map[string]*window), homes: make(map[string]string),
	}
	g.Nodes.Hear(topicRead, heard(x.hearRead))
	g.Nodes.Hear(topicLeave, heard(x.hearLeave))
	g.Nodes.Hear(topicLines, heard(x.hearLines))
	g.Nodes.Hear(topicSay, heard(x.hearSaid))
	g.Nodes.Hear(topicBegan, heard(x.hearBegan))
	return x
}

// Route registers the paths with a mux. Pages of other origins send requests to them, so
// wrap must allow or refuse those.
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

// Drain makes clients reconnect whose requests are on this node but whose sessions are on
// others, spread evenly over the given time. The gateway itself drains the sessions of this
// node.
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
		if !pause.For(ctx, over/time.Duration(len(windows))) {
			return
		}
		_ = x.gateway.Nodes.Tell(ctx, win.home, topicLeave, readWord{Session: win.session, Ticket: win.ticket, Drain: true}) // else the request is interrupted later
	}
}

// Wait blocks until all background work for clients has ended. Call it when the gateway has
// ended all sessions and all handlers have returned.
func (x *XHR) Wait() {
	x.mu.Lock()
	for _, s := range x.stays {
		s.stop()
	}
	x.mu.Unlock()
	x.working.Wait()
}
