package centrifuge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/rules"
)

// keys authenticates the keys of backends.
type keys struct{ names }

func (k keys) Authenticate(ctx context.Context, token string) (gateway.Principal, error) {
	switch token {
	case "secret":
		return gateway.Principal{Key: "shop"}, nil
	case "narrow":
		return gateway.Principal{Key: "narrow", Scope: &gateway.Scope{Channels: []string{"a"}, Publish: true}}, nil
	}
	return k.names.Authenticate(ctx, token)
}

// startAPI returns a gateway, and a function that posts a body to a method and returns the
// status and the answer.
func startAPI(t *testing.T) (g *gateway.Gateway, post func(method, body, key string) (int, string)) {
	t.Helper()
	memory := broker.NewMemory()
	return startAPIOn(t, memory, memory, memory)
}

// startAPIOn is like startAPI, with the given brokers.
func startAPIOn(t *testing.T, b broker.Broker, history broker.History, presence broker.Presence) (g *gateway.Gateway, post func(method, body, key string) (int, string)) {
	t.Helper()
	g, err := gateway.New(gateway.Config{
		Broker: b, History: history, Presence: presence, Auth: keys{}, Node: "one", Version: "1.2",
		Rules: rules.List{{Match: "plain"}, {Match: "lobby", Presence: true, JoinLeave: true}, {Match: "*", HistorySize: 10, Presence: true}},
	})
	must(t, err)
	gatewaytest.Run(t, g, func() {})
	server := &centrifuge.API{Gateway: g}
	return g, func(method, body, key string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "/api/"+method, strings.NewReader(body))
		r.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		answer, _ := io.ReadAll(w.Body)
		return w.Code, strings.TrimSpace(string(answer))
	}
}

func TestAPI_TakesKeysThatAreGoodForEverything(t *testing.T) {
	_, post := startAPI(t)
	for key, status := range map[string]int{"secret": 200, "": 401, "wrong": 401, "user alice": 403, "narrow": 403} {
		if got, answer := post("info", "{}", key); got != status {
			t.Errorf("the key %q: %d %s, want %d", key, got, answer, status)
		}
	}
}

func TestAPI_TakesTheKeyInOtherPlaces(t *testing.T) {
	g, _ := startAPI(t)
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/api/info?api_key=secret", strings.NewReader("{}")),
		{Method: http.MethodPost, Header: http.Header{"Authorization": {"apikey secret"}}},
	} {
		request := httptest.NewRequest(http.MethodPost, "/api/info", strings.NewReader("{}"))
		w := httptest.NewRecorder()
		request.Header = r.Header
		if r.URL != nil {
			request = r
		}
		if (&centrifuge.API{Gateway: g}).ServeHTTP(w, request); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestAPI_Answers(t *testing.T) {
	_, post := startAPI(t)
	at := position(t, post, "chat")
	for _, c := range []struct{ method, body, want string }{
		{"publish", `{"channel":"chat","data":{"n":1},"tags":{"event":"said","a":"b"},"idempotency_key":"k"}`, `{"result":{"offset":1,"epoch":"EPOCH"}}`},
		{"publish", `{"channel":"chat","data":{"n":1},"idempotency_key":"k"}`, `{"result":{"offset":1,"epoch":"EPOCH"}}`},
		{"publish", `{"channel":"plain","data":1}`, `{"result":{}}`},
		{"publish", `{"channel":"chat","b64data":"/wA="}`, `{"result":{"offset":2,"epoch":"EPOCH"}}`},
		{"publish", `{"channel":"chat","data":1,"skip_history":true}`, `{"result":{}}`},
		{"publish", `{"channel":"chat"}`, `{"error":{"code":107,"message":"data is missing"}}`},
		{"publish", `{"channel":"a b","data":1}`, `{"error":{"code":107,`},
		{"publish", `{"channel":7}`, `{"error":{"code":107,`},
		{"publish", `{"channel":"chat","data":1,"version":3}`, `{"error":{"code":108,`},
		{"broadcast", `{"channels":["plain","a b"],"data":1}`, `{"result":{"responses":[{"result":{}},{"error":{"code":107,`},
		{"history", `{"channel":"chat"}`, `{"result":{"epoch":"EPOCH","offset":2,"publications":[]}}`},
		{"history", `{"channel":"chat","limit":10}`, `{"result":{"epoch":"EPOCH","offset":2,"publications":[{"data":{"n":1},"offset":1,"tags":{"a":"b","event":"said"},"time":TIME,"epoch":"EPOCH"},{"data":"/wA=","offset":2,"time":TIME,"epoch":"EPOCH"}]}}`},
		{"history", `{"channel":"chat","limit":1,"reverse":true}`, `{"result":{"epoch":"EPOCH","offset":2,"publications":[{"data":"/wA=",`},
		{"history", `{"channel":"chat","limit":1,"since":{"offset":0,"epoch":"EPOCH"}}`, `{"result":{"epoch":"EPOCH","offset":2,"publications":[{"data":{"n":1},`},
		{"history", `{"channel":"chat","limit":1,"since":{"offset":1,"epoch":"other"}}`, `{"error":{"code":112,"message":"unrecoverable position"}}`},
		{"history", `{"channel":"plain","limit":1}`, `{"error":{"code":108,`},
		{"history_remove", `{"channel":"chat"}`, `{"result":{}}`},
		{"history", `{"channel":"chat","limit":10}`, `{"result":{"epoch":"EPOCH","offset":2,"publications":[]}}`},
		{"presence", `{"channel":"chat"}`, `{"result":{"presence":{}}}`},
		{"presence", `{"channel":"plain"}`, `{"error":{"code":108,`},
		{"presence_stats", `{"channel":"chat"}`, `{"result":{"num_clients":0,"num_users":0}}`},
		{"channels", `{}`, `{"result":{"channels":{}}}`},
		{"subscribe", `{"user":"alice","channel":"chat"}`, `{"result":{}}`},
		{"unsubscribe", `{"user":"alice","channel":"chat"}`, `{"result":{}}`},
		{"unsubscribe", `{"user":"alice","channel":"chat","client":"c"}`, `{"result":{}}`},
		{"unsubscribe", `{"user":"alice","channel":"chat","client":"c","session":"c.key"}`, `{"result":{}}`},
		{"unsubscribe", `{"user":"alice","channel":"chat","client":"c","session":"d.key"}`, `{"error":{"code":107,`},
		{"subscribe", `{"user":"alice","channel":"chat","client":"c","expire_at":1,"info":null}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"chat","info":{},"b64data":"e30=","recover_since":{"offset":1,"epoch":"EPOCH"}}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"chat","override":{"presence":{"value":true},"force_recovery":{"value":true},"join_leave":null}}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"chat","override":{"join_leave":{"value":true}}}`, `{"error":{"code":108,`},
		{"subscribe", `{"user":"alice","channel":"plain","override":{"force_positioning":{"value":true}}}`, `{"error":{"code":108,`},
		{"subscribe", `{"user":"alice","channel":"chat","override":{"presence":{"value":false},"force_recovery":{"value":false},"force_positioning":{}}}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"plain","override":{"presence":{"value":false},"join_leave":{"value":false},"force_recovery":{}}}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"plain","override":{"presence":{"value":true}}}`, `{"error":{"code":108,`},
		{"subscribe", `{"user":"alice","channel":"chat","override":{"force_push_join_leave":{"value":true}}}`, `{"error":{"code":108,`},
		{"subscribe", `{"user":"alice","channel":"lobby","override":{"presence":{"value":false}}}`, `{"error":{"code":108,"message":"who is shown`},
		{"subscribe", `{"user":"alice","channel":"lobby","override":{"join_leave":{"value":false}}}`, `{"error":{"code":108,"message":"who is shown`},
		{"subscribe", `{"user":"alice","channel":"lobby","override":{"presence":{},"join_leave":{},"force_push_join_leave":{}}}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"chat","b64data":"/wA="}`, `{"error":{"code":108,`},
		{"subscribe", `{"user":"alice","channel":"chat","b64info":"?"}`, `{"error":{"code":107,`},
		{"subscribe", `{"user":"alice","channel":"chat","recover_since":{}}`, `{"error":{"code":107,`},
		{"subscribe", `{"user":"alice","channel":"chat","info":"` + strings.Repeat("x", 1024) + `"}`, `{"error":{"code":106,`},
		{"subscribe", `{"user":"alice","channel":"chat","client":"c","expire_at":253402300799}`, `{"result":{}}`},
		{"subscribe", `{"user":"alice","channel":"chat","client":"c","expire_at":1763845845123}`, `{"error":{"code":107,`},
		{"refresh", `{"user":"alice","client":"c","expire_at":1763845845123}`, `{"error":{"code":107,`},
		{"subscribe", `{"channel":"chat","client":"c"}`, `{"error":{"code":107,`},
		{"disconnect", `{"user":"alice","whitelist":["c"],"disconnect":{"code":3503,"reason":"force disconnect"}}`, `{"result":{}}`},
		{"disconnect", `{"user":"alice","disconnect":{"code":4000}}`, `{"error":{"code":108,`},
		{"disconnect", `{"user":"alice"}`, `{"result":{}}`},
		{"disconnect", `{}`, `{"error":{"code":107,`},
		{"refresh", `{"user":"alice","expire_at":1}`, `{"result":{}}`},
		{"refresh", `{"user":"alice","info":{}}`, `{"error":{"code":108,`},
		{"refresh", `{}`, `{"error":{"code":107,`},
		{"unheard", `{}`, `{"error":{"code":104,"message":"method not found"}}`},
		{"info", `{}`, `{"result":{"nodes":[{"name":"one","num_clients":0,"uid":"one","uptime":0,"version":"1.2"}]}}`},
		{"batch", `{"commands":[{"publish":{"channel":"plain","data":1}},{"presence":{"channel":"plain"}},{},{"batch":{}}]}`,
			`{"replies":[{"publish":{}},{"error":{"code":108,"message":"\"plain\" has no presence"}},{"error":{"code":107,"message":"a command names one method"}},{"error":{"code":107,"message":"a command names one method"}}]}`},
	} {
		status, got := post(c.method, strings.ReplaceAll(c.body, "EPOCH", at()), "secret")
		got = timeOfPublication.ReplaceAllString(got, `"time":TIME`)
		if want := strings.ReplaceAll(c.want, "EPOCH", at()); status != 200 || !strings.HasPrefix(got, want) {
			t.Errorf("%s %s: %d\n%s\nwant\n%s", c.method, c.body, status, got, want)
		}
	}
}

var timeOfPublication = regexp.MustCompile(`"time":1[0-9]{12}\b`)

// The API's own path takes commands as the Go library 3 sends them, for example.
func TestAPI_TakesCommandsOfOlderBackends(t *testing.T) {
	_, post := startAPI(t)
	status, answer := post("", `{"method":"publish","params":{"channel":"chat","data":{"n":1}}}
{"method":"presence","params":{"channel":"plain"}}
{"method":"info"}{"method":"unheard","params":{}} {"method":7} 8
{"method":"batch","params":{"commands":[]}}
{"method":"history","params":{"channel":"chat","limit":1}}
`, "secret")
	replies := strings.Split(answer, "\n")
	for i, want := range []string{
		`{"result":{"offset":1,"epoch":"`, `{"error":{"code":108,"message":"`, `{"result":{"nodes":[`, `{"error":{"code":104,"message":"`,
		`{"error":{"code":107,"message":"`, `{"error":{"code":107,"message":"`, `{"error":{"code":107,"message":"`, `{"result":{"epoch":"`,
	} {
		if status != 200 || len(replies) != 8 || !strings.HasPrefix(replies[i], want) {
			t.Fatalf("%d %s\nreply %d: want %s", status, answer, i, want)
		}
	}
	for _, body := range []string{"", "{", `{"method":"info"}{`, strings.Repeat(`{"method":"info"}`, 1001), `{"method":"publish","params":{"channel":"chat","data":` + deep + `}}`} {
		if status, answer := post("", body, "secret"); status != 400 {
			t.Errorf("%.60q: %d %.60s", body, status, answer)
		}
	}
	if status, answer := post("publish", `{"channel":"chat","data":1}{"channel":"chat","data":2}`, "secret"); status != 400 {
		t.Errorf("two bodies: %d %s", status, answer)
	}
}

// position returns a function that returns the epoch of a channel's history.
func position(t *testing.T, post func(string, string, string) (int, string), channel string) func() string {
	return func() string {
		_, answer := post("history", `{"channel":"`+channel+`"}`, "secret")
		var a struct{ Result struct{ Epoch string } }
		must(t, json.Unmarshal([]byte(answer), &a))
		return a.Result.Epoch
	}
}

// lender is a history that remembers the last page that it returned.
type lender struct {
	*broker.Memory
	lent broker.Page
}

func (l *lender) Latest(ctx context.Context, channel string, most broker.Most) (page broker.Page, err error) {
	l.lent, err = l.Memory.Latest(ctx, channel, most)
	return l.lent, err
}

// Others may be reading the same page.
func TestAPI_HistoryInReverseLeavesThePageAsItIs(t *testing.T) {
	memory := broker.NewMemory()
	l := &lender{Memory: memory}
	_, post := startAPIOn(t, memory, l, memory)
	for _, data := range []string{"1", "2", "3"} {
		post("publish", `{"channel":"chat","data":`+data+`}`, "secret")
	}
	_, answer := post("history", `{"channel":"chat","limit":3,"reverse":true}`, "secret")
	if !regexp.MustCompile(`"data":3,.*"data":2,.*"data":1,`).MatchString(answer) {
		t.Errorf("answered %s", answer)
	}
	for i, m := range l.lent.Messages {
		if m.Position.Offset != uint64(i+1) {
			t.Errorf("message %d of the page has become %v", i, m.Position)
		}
	}
}

// silent is a broker that confirms nothing.
type silent struct {
	*broker.Memory
	asked atomic.Int64
}

func (s *silent) Publish(_ broker.Message, _ broker.PublishOptions, done func(broker.Position, error)) {
	s.asked.Add(1)
	done(broker.Position{}, fmt.Errorf("silence: %w", broker.ErrUnavailable))
}

// Each publish takes a second if Redis is a black hole.
func TestAPI_StopsWhenTheBrokerIsAway(t *testing.T) {
	const publish, failed = `{"publish":{"channel":"a","data":1}}`, `{"error":{"code":`
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"c%d"`, i))
	}
	broadcast := `{"channels":[` + strings.Join(many, ",") + `],"data":1}`
	for _, c := range []struct {
		method, body string
		failed       int
		tried        int64 // at most: some publishes of a broadcast are tried at once
	}{
		{"broadcast", broadcast, 40, 16},
		{"batch", `{"commands":[` + publish + `,` + publish + `,{"broadcast":` + broadcast + `},` + publish + `]}`, 4, 1},
		{"batch", `{"commands":[{"broadcast":` + broadcast + `},` + publish + `,{"history":{"channel":"a"}}]}`, 42, 16},
	} {
		b := &silent{Memory: broker.NewMemory()}
		_, post := startAPIOn(t, b, b.Memory, b.Memory)
		before := b.asked.Load()
		status, answer := post(c.method, c.body, "secret")
		tried := b.asked.Load() - before
		if status != 200 || strings.Count(answer, failed) != c.failed || tried < 1 || tried > c.tried {
			t.Errorf("%s %.80s: %d, %d of %d failed, %d were tried", c.method, c.body, status, strings.Count(answer, failed), c.failed, tried)
		}
	}
}

// broken is a broker that fails in a way of its own.
type broken struct{ *broker.Memory }

func (broken) Publish(_ broker.Message, _ broker.PublishOptions, done func(broker.Position, error)) {
	done(broker.Position{}, errors.New("out of order"))
}

// A backend is told only that there is an internal error, of whatever part of a request.
func TestAPI_LogsInternalErrors(t *testing.T) {
	memory := broker.NewMemory()
	g, _ := startAPIOn(t, broken{memory}, memory, memory)
	var logged bytes.Buffer
	server := &centrifuge.API{Gateway: g, Anonymous: gateway.Principal{Key: "backend"}, Log: slog.New(slog.NewTextHandler(&logged, nil))}
	for method, body := range map[string]string{
		"publish":   `{"channel":"a","data":1}`,
		"broadcast": `{"channels":["a"],"data":1}`,
		"batch":     `{"commands":[{"publish":{"channel":"a","data":1}},{"presence":{"channel":"plain"}}]}`,
		"":          `{"method":"publish","params":{"channel":"a","data":1}}`,
	} {
		logged.Reset()
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/"+method, strings.NewReader(body)))
		if !strings.Contains(w.Body.String(), `"error":{"code":100,"message":"internal error"}`) || strings.Count(logged.String(), "out of order") != 1 || strings.Count(logged.String(), "\n") != 1 {
			t.Errorf("%s: %d %s, and logged is %q", method, w.Code, w.Body, &logged)
		}
	}
}

func TestAPI_RefusesWhatIsNoJSON(t *testing.T) {
	_, post := startAPI(t)
	for _, body := range []string{"", "{", "\"\xff\"", strings.Repeat(`{"data":`, 102) + "1" + strings.Repeat("}", 102)} {
		if status, answer := post("publish", body, "secret"); status != 400 {
			t.Errorf("%q: %d %s", body, status, answer)
		}
	}
}

// A call reaches the client with the given id or session, and no other.
func TestAPI_ReachesSomeOfAUsersClients(t *testing.T) {
	g, post := startAPI(t)
	theater := &theater{TB: t, Gateway: g}
	open := func(id string) *ending {
		s, err := g.Open(t.Context(), gateway.Hello{
			Protocol: centrifuge.Protocol{}, Transport: "test", Session: id, Key: "key", Principal: gateway.Principal{User: "alice"},
		})
		must(t, err)
		e := &ending{swallower{&audience{theater: theater, all: make(chan struct{}, 100)}}, make(chan gateway.Reason, 1)}
		s.Attach(e)
		return e
	}
	one, two, three, four := open("one"), open("two"), open("three"), open("four")
	for _, c := range []struct {
		method, body string
		ends         *ending
		code         int
	}{
		{"disconnect", `{"user":"alice","session":"one.key"}`, one, 3503},
		{"refresh", `{"user":"alice","client":"two","expired":true}`, two, 3005},
		{"refresh", `{"user":"alice","client":"three","expire_at":1}`, three, 3005},
	} {
		if _, answer := post(c.method, c.body, "secret"); answer != `{"result":{}}` {
			t.Errorf("%s %s: %s", c.method, c.body, answer)
		}
		if reason := c.ends.await(t); reason.Code != c.code {
			t.Errorf("%s %s: it ends with %+v, want %d", c.method, c.body, reason, c.code)
		}
	}
	fifth := open("five")
	if _, answer := post("disconnect", `{"user":"alice","whitelist":["four"]}`, "secret"); answer != `{"result":{}}` {
		t.Error(answer)
	}
	fifth.await(t)
	if left, err := g.Users.Sessions(t.Context(), "alice"); err != nil || len(left) != 1 || left[0].Session != "four" || len(four.closed) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// ending is a connection that records why it was closed.
type ending struct {
	swallower
	closed chan gateway.Reason
}

func (e *ending) Close(reason gateway.Reason, _ []byte) { e.closed <- reason }

func (e *ending) await(t *testing.T) gateway.Reason {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case reason := <-e.closed:
		return reason
	case <-ctx.Done():
		t.Fatal("the session does not end")
		return gateway.Reason{}
	}
}
