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
	"tidegate/gateway/internal/wall"
)

// XHR serves the fallback transports of pusher-js, for clients that cannot open a WebSocket.
// It needs no sticky load balancer: a session lives on the node that received its first
// request, its home, but later requests may go to any node.
//
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr_streaming   a stream of lines (see lineOpen)
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr             the lines that wait, or the next ones
//	POST /pusher/app/KEY/NUMBER/TEXT/xhr_send        sends events; answered with 204
//
// The client chooses NUMBER and TEXT and keeps them secret. The session's id is derived from
// them and the app's secret, so every node can compute it. If several xhr_send requests are
// in flight at once, the home puts them in order (see order). An XHR is safe for concurrent
// use.
type XHR struct {
	gateway  *gateway.Gateway
	apps     *Apps
	patience time.Duration // how long a request waits for earlier ones: see order
	working  wall.Group    // the goroutines that run passOn or announce

	// Guarded by mu.
	mu       sync.Mutex
	stays    map[string]*stay   // sessions of this node, by id
	over     []*stay            // ended sessions, oldest first; some may be forgotten already
	windows  map[string]*window // requests to this node, by ticket
	homes    map[string]string  // cache: the home of a session, by session id
	draining bool
}

// numberOf returns the number that the page has given to a request, or 0 if there is none.
func numberOf(r *http.Request) uint64 {
	number, _ := strconv.ParseUint(r.URL.Query().Get("n"), 10, 64) // 0 if missing or invalid
	return number
}

// keyOf returns the part of the path that only the client knows.
func keyOf(r *http.Request) string { return r.PathValue("number") + "/" + r.PathValue("text") }

// mostKey is the most bytes of keyOf for a new session, which holds it. The library's have 12.
const mostKey = 64

// sessionOf returns the id of the session to which a request belongs.
func sessionOf(a *App, r *http.Request) string {
	digest := hmac.New(sha256.New, []byte(a.Secret))
	digest.Write([]byte("xhr " + a.Key + " " + keyOf(r)))
	sum := digest.Sum(nil)
	return socketIDOf(binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:]))
}

// homeOf returns the node that has a session. If this node does not know it, homeOf asks the
// other nodes and charges that to the budget of the client's address.
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

const mostHomes = 10_000 // maximum size of the cache homes

// noteHome caches the home of a session. If node is empty, noteHome removes the entry.
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

// stay is a session on its home, with its connection.
type stay struct {
	*box
	session *gateway.Session
	said    *order
	since   time.Time
	over    func() // called when the session has ended; the box may still hold lines
}

// window is a request on its edge that receives the lines of a session. It asks the home for
// more only when it has written what it received. So nothing piles up between the nodes for
// a slow client.
type window struct {
	// Immutable.
	home, session, ticket string
	number                uint64 // number of the request: see order

	came chan linesWord // capacity 1: the home answers once each time it is asked
}
