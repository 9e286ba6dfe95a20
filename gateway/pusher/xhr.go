package pusher

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/transport"
)

// XHR serves the fallback transports of pusher-js, for clients that cannot have a
// WebSocket. No balancer need be sticky: a session stays on the node that its first
// request came to, its home, and any later request may come to any node.
//
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr_streaming   a stream of lines (see lineOpen)
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr             some lines: what there is, or comes next
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr_send        what the client says; answered by 204
//
// NUMBER and TEXT are made up by the client, and known to it alone: from them and the
// app's secret follows the session's id, so that every node knows it. What is said by
// several requests that are on their way at once is put in order at the home (see
// order). All methods may be called concurrently.
type XHR struct {
	gateway  *gateway.Gateway
	apps     *Apps
	patience time.Duration  // with what is sent before its turn, see order
	working  sync.WaitGroup // of those who pass on, or announce

	// Guarded by mu.
	mu       sync.Mutex
	stays    map[string]*stay   // sessions of this node, by id
	over     []*stay            // those that are over, the oldest first; some may be forgotten already
	windows  map[string]*window // requests to this node, by ticket
	homes    map[string]string  // nodes of sessions that this node was asked about lately
	draining bool
}

// NewXHR returns what serves a gateway's apps. It is made once for a gateway.
func NewXHR(g *gateway.Gateway, apps *Apps) *XHR {
	x := &XHR{
		gateway: g, apps: apps, patience: orderPatience,
		stays: make(map[string]*stay), windows: make(map[string]*window), homes: make(map[string]string),
	}
	g.Hear(topicRead, heard(x.hearRead))
	g.Hear(topicLeave, heard(x.hearLeave))
	g.Hear(topicLines, heard(x.hearLines))
	g.Hear(topicSay, heard(x.hearSaid))
	g.Hear(topicBegan, heard(x.hearBegan))
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
		_ = x.gateway.Tell(ctx, win.home, topicLeave, readWord{Session: win.session, Ticket: win.ticket, Drain: true}) // else the request breaks off
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

// send answers when the session's home has what was said in line.
func (x *XHR) send(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bodyPatience + writePatience)) // a poll has left another one
	if err := x.say(w, r); err != nil {
		w.Header().Set("Connection", "close") // the body may not have been read
		refusalOf(err).answer(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (x *XHR) say(w http.ResponseWriter, r *http.Request) error {
	_, settings := x.apps.byKey(r.PathValue("key"))
	if settings == nil {
		return notFound("there is no app with this key")
	}
	if err := x.gateway.SpendFor(r.RemoteAddr); err != nil {
		return err
	}
	id := sessionOf(settings, r)
	home, err := x.homeOf(r, id)
	if err != nil {
		return err
	}
	payer := x.gateway.PayerOf(&gateway.Principal{}, r.RemoteAddr)
	said, err := readBody(x.gateway, payer, w, r, sentBytes(x.gateway))
	if err != nil {
		return err
	}
	defer x.gateway.GiveInbound(payer, cap(said))
	err = x.gateway.Tell(r.Context(), home, topicSay, sayWord{id, keyOf(r), numberOf(r), said})
	if is(err, gateway.NotFound) {
		x.noteHome(id, "")
	}
	return err
}

// sentBytes is how large a body may be: a message, escaped twice, and what is around it.
func sentBytes(g *gateway.Gateway) int { return 4*g.Limits().MessageBytes + 4<<10 }

// numberOf returns which request of its page a request is; 0: that is not known.
func numberOf(r *http.Request) uint64 {
	number, _ := strconv.ParseUint(r.URL.Query().Get("n"), 10, 64) // else 0
	return number
}

// keyOf returns what the client alone knows.
func keyOf(r *http.Request) string { return r.PathValue("number") + "/" + r.PathValue("text") }

// sessionOf returns the id of the session that a request is for.
func sessionOf(a *App, r *http.Request) string {
	digest := hmac.New(sha256.New, []byte(a.Secret))
	digest.Write([]byte("xhr " + a.Key + " " + keyOf(r)))
	sum := digest.Sum(nil)
	return socketIDOf(binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:]))
}

// homeOf returns the node that has a session. Whom this node does not know it asks the
// others for, as often as the client's address may have that done.
func (x *XHR) homeOf(r *http.Request, id string) (string, error) {
	if home := x.knownHome(id); home != "" {
		return home, nil
	}
	if err := x.gateway.Spend(&gateway.Principal{}, r.RemoteAddr, rates.Cost{Commands: 1}); err != nil {
		return "", err
	}
	found, err := x.gateway.FindSession(r.Context(), id)
	if err == nil {
		x.noteHome(id, found.Node)
	}
	return found.Node, err
}

func (x *XHR) knownHome(id string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stays[id] != nil {
		return x.gateway.Node()
	}
	return x.homes[id]
}

const mostHomes = 10_000 // that are remembered

// noteHome remembers the node of a session, or that it has none.
func (x *XHR) noteHome(id, node string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.homes) >= mostHomes {
		clear(x.homes)
	}
	if x.homes[id] = node; node == "" {
		delete(x.homes, id)
	}
}

func heard[T any](do func(from string, word T) error) gateway.Ear {
	return func(from string, body json.RawMessage) error {
		var word T
		if err := json.Unmarshal(body, &word); err != nil {
			return fail(gateway.BadRequest, "%v", err)
		}
		return do(from, word)
	}
}

func notFound(text string) error { return fail(gateway.NotFound, "%s", text) }

func is(err error, code gateway.Code) bool {
	var e *gateway.Error
	return errors.As(err, &e) && e.Code == code
}
