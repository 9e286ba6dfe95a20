package pusher

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
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
	if err := x.gateway.Budget.Spend(&gateway.Principal{}, r.RemoteAddr, rates.Cost{Commands: 1}); err != nil {
		return "", err
	}
	found, err := x.gateway.Users.FindSession(r.Context(), id)
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

// stay is a session of a home, and its connection.
type stay struct {
	*box
	session *gateway.Session
	said    *order
	since   time.Time
	over    func() // called when the session is over, and there may be last words in the box
}

// window is a request that is told what there is for a session. It asks the session's
// home again when it has written what it got: nothing is on its way to a client that
// does not keep up.
type window struct {
	// Fixed at birth.
	home, session, ticket string
	number                uint64 // of the request, see order

	came chan linesWord // of capacity 1: home tells once for each time that it is asked
}
