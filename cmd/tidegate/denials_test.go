package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// guest is a client that will soon be denied.
type guest struct{ user, token, second, cursor, address string }

// newGuest returns a guest whose name is built from texts and whose address is derived from
// the name. The jti of its first token is the name; the second token has another.
func newGuest(cursor string, texts ...string) guest {
	user := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,/-", r) {
			return -1
		}
		return r
	}, strings.Join(texts, "."))
	token := func(jti string) string {
		return forgeToken(fmt.Sprintf(`{"sub":%q,"jti":%q,"iat":%d}`, user, jti, time.Now().Add(-time.Minute).Unix()))
	}
	sum := sha256.Sum256([]byte(user))
	return guest{user, token(user), token(user + ".2"), cursor, fmt.Sprintf("10.%d.%d.%d", sum[0], sum[1], sum[2])}
}

// header returns the headers that the proxy in front of the nodes adds for the guest.
func (g guest) header() http.Header { return http.Header{"X-Forwarded-For": {g.address}} }

// fill replaces the placeholders in text by the guest's values.
func (g guest) fill(text string) string {
	return strings.NewReplacer("TOKEN", g.token, "SECOND", g.second, "USER", g.user, "CURSOR", g.cursor, "ADDRESS", g.address).Replace(text)
}

// comer connects a guest to a node. When the guest is refused or disconnected, it returns
// what the guest was told.
type comer func(ctx context.Context, p *process, g guest) (heard string)

func byGet(target string) comer { return byRequest(http.MethodGet, target, "") }

func byPost(target, body string) comer { return byRequest(http.MethodPost, target, body) }

func byRequest(method, target, body string) comer {
	return func(ctx context.Context, p *process, g guest) string {
		r, err := http.NewRequestWithContext(ctx, method, p.public(g.fill(target)), strings.NewReader(g.fill(body)))
		if err != nil {
			return err.Error()
		}
		r.Header, r.Close = g.header(), true
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		said, _ := io.ReadAll(answer.Body) // as much as arrived before it broke
		return string(said)
	}
}

// bySocket connects with a WebSocket and first sends says.
func bySocket(target string, says ...string) comer {
	return func(ctx context.Context, p *process, g guest) string {
		c, answer, err := websocket.Dial(ctx, strings.Replace(p.public(g.fill(target)), "http", "ws", 1), &websocket.DialOptions{HTTPHeader: g.header()})
		if err != nil && answer != nil {
			said, _ := io.ReadAll(answer.Body) // it is short
			return string(said)
		}
		if err != nil {
			return err.Error()
		}
		defer c.CloseNow()
		var heard bytes.Buffer
		for _, text := range says {
			if err := c.Write(ctx, websocket.MessageText, []byte(g.fill(text))); err != nil {
				return err.Error()
			}
		}
		for {
			_, frame, err := c.Read(ctx)
			if err != nil {
				return heard.String() + err.Error()
			}
			heard.Write(append(frame, '\n'))
		}
	}
}

// residents stay connected until they are disconnected.
var residents = map[string]comer{
	"/ws":          bySocket("/ws?access_token=TOKEN"),
	"/ws, by auth": bySocket("/ws", `{"type":"auth","id":7,"token":"TOKEN"}`),
	"/raw":         bySocket("/raw/room?access_token=TOKEN"),
	"/events":      byGet("/events?channel=room&access_token=TOKEN"),
	"/poll":        byGet("/poll?channel=quiet&cursor=CURSOR&wait=60s&access_token=TOKEN"),

	"Centrifuge":                      bySocket("/connection/websocket", `{"id":1,"connect":{"token":"TOKEN"}}`),
	"Centrifuge, SSE":                 byGet("/connection/sse?cf_connect=" + url.QueryEscape(`{"id":1,"connect":{"token":"`) + "TOKEN" + url.QueryEscape(`"}}`)),
	"Centrifuge, HTTP stream":         byPost("/connection/http_stream", `{"id":1,"connect":{"token":"TOKEN"}}`),
	"Centrifuge, one way":             bySocket("/connection/uni_websocket", `{"token":"TOKEN"}`),
	"Centrifuge, one-way SSE":         byGet("/connection/uni_sse?cf_connect=" + url.QueryEscape(`{"token":"`) + "TOKEN" + url.QueryEscape(`"}`)),
	"Centrifuge, one-way HTTP stream": byPost("/connection/uni_http_stream", `{"token":"TOKEN"}`),

	"Pusher":      bySocket("/app/key?protocol=7&access_token=TOKEN"),
	"Pusher, XHR": byPost("/pusher/app/key/1/USER/xhr_streaming?protocol=7&access_token=TOKEN", ""),
}

// callers get an answer at once.
var callers = map[string]comer{
	"API history":  byGet("/api/channels/room/messages?access_token=TOKEN"),
	"API presence": byGet("/api/channels/room/presence?access_token=TOKEN"),
	"API publish":  byPost("/api/channels/room/messages?access_token=TOKEN", "1"),
	"API batch":    byPost("/api/messages?access_token=TOKEN", `[{"channels":["room"],"data":1}]`),
}

// renewals use one token, and then another one in the same session.
var renewals = map[string]comer{
	"/ws":        bySocket("/ws?access_token=SECOND", `{"type":"auth","id":7,"token":"TOKEN"}`),
	"Centrifuge": bySocket("/connection/websocket", `{"id":1,"connect":{"token":"SECOND"}}`, `{"id":2,"refresh":{"token":"TOKEN"}}`),
}

const deniedRules = pusherApp + `
channels: [{match: "*", subscribe: anyone, publish: anyone, presence: true, history: {size: 10}}]
limits: {commands_per_second: 0}
trusted_proxies: [127.0.0.1]
auth: {jwt: {secret: ` + tokenSecret + `}, api_keys: [{name: shop, key: ` + backendKey + `}]}
`

// A client that is denied on one node is disconnected from the others and refused there,
// whichever way it connects.
func TestDenials_HoldForEveryWayIn(t *testing.T) {
	t.Parallel()
	nodes, _ := startPusherNodes(t, deniedRules)
	near, far := nodes[0], nodes[1]
	cursor := cursorAt(t, far)
	for what, denial := range map[string]struct{ path, body, why string }{
		"user":       {"/api/bans", `{"user":"USER"}`, "banned until"},
		"address":    {"/api/bans", `{"address":"ADDRESS"}`, "banned until"},
		"token":      {"/api/revocations", `{"token":"USER"}`, "the token was revoked"},
		"old tokens": {"/api/revocations", `{"user":"USER"}`, "the token was revoked"},
	} {
		deny := func(t *testing.T, g guest) {
			t.Helper()
			if code := request(t, near, visitor{"backend", backendKey}, byHeader, http.MethodPost, denial.path, g.fill(denial.body)); code != "" {
				t.Fatalf("to deny it is refused: %s", code)
			}
		}
		for name, come := range residents {
			t.Run(what+"; "+name, func(t *testing.T) {
				t.Parallel()
				g := newGuest(cursor, what, name)
				over := come.to(t, far, g)
				awaitSessionOf(t, near, g.user)
				deny(t, g)
				expectEnd(t, over, denial.why)
				expectEnd(t, come.to(t, far, g), denial.why)
			})
		}
		for name, call := range callers {
			t.Run(what+"; "+name, func(t *testing.T) {
				t.Parallel()
				g := newGuest(cursor, what, name)
				if heard := call(t.Context(), far, g); strings.Contains(heard, "error") {
					t.Fatalf("it is refused before: %s", heard)
				}
				deny(t, g)
				expectEnd(t, call.to(t, far, g), denial.why)
			})
		}
	}
}

// A session cannot be continued with a revoked token.
func TestDenials_ATokenThatIsRevokedRenewsNothing(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--config", write(t, "tidegate.yaml", deniedRules))
	for name, come := range renewals {
		g := newGuest("", name)
		if code := request(t, p, visitor{"backend", backendKey}, byHeader, http.MethodPost, "/api/revocations", g.fill(`{"token":"USER"}`)); code != "" {
			t.Fatal(code)
		}
		expectEnd(t, come.to(t, p, g), "the token was revoked")
	}
}

// to connects a guest in the background.
func (come comer) to(t *testing.T, p *process, g guest) (over <-chan string) {
	heard := make(chan string, 1)
	go func() { heard <- come(t.Context(), p, g) }()
	return heard
}

func expectEnd(t *testing.T, over <-chan string, why string) {
	t.Helper()
	select {
	case heard := <-over:
		if !strings.Contains(heard, why) {
			t.Errorf("it ended without %q:\n%s", why, heard)
		}
	case <-time.After(patience):
		t.Errorf("it has not ended with %q", why)
	}
}

// cursorAt returns the cursor of a channel that nobody publishes to.
func cursorAt(t *testing.T, p *process) string {
	t.Helper()
	_, answer := get(t, p.public("/poll?channel=quiet"))
	var page struct{ Cursor string }
	if err := json.Unmarshal([]byte(answer), &page); err != nil || page.Cursor == "" {
		t.Fatalf("%s: %v", answer, err)
	}
	return url.QueryEscape(page.Cursor)
}

// awaitSessionOf blocks until the user has a session on some node.
func awaitSessionOf(t *testing.T, p *process, user string) {
	t.Helper()
	await(t, "a session of "+user, func() (met bool, seen string) {
		seen = fetch(t, p.public("/api/users/"+user+"/sessions"), http.Header{"Authorization": {"Bearer " + backendKey}})
		return strings.Contains(seen, `"session":`), seen
	})
}
