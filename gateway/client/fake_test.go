package client_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidegate/gateway/client"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is long enough for the slowest machine: a test that waits this long has failed.
const patience = 20 * time.Second

// fakeGateway is a gateway that a test scripts.
type fakeGateway struct {
	t      *testing.T
	server *httptest.Server
	visits chan *visit
}

// visit is one connection to the fakeGateway.
type visit struct {
	t      *testing.T
	header http.Header
	conn   *websocket.Conn
	heard  chan object // commands from the client; closed at the end
}

type object map[string]any

func newFakeGateway(t *testing.T) *fakeGateway {
	g := &fakeGateway{t: t, visits: make(chan *visit, 16)}
	g.server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(func() {
		g.server.CloseClientConnections()
		g.server.Close()
	})
	return g
}

func (g *fakeGateway) url() string { return "ws" + strings.TrimPrefix(g.server.URL, "http") }

func (g *fakeGateway) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"tidegate.v1"}})
	if err != nil {
		g.t.Errorf("accept: %v", err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	v := &visit{t: g.t, header: r.Header, conn: conn, heard: make(chan object, 1024)}
	defer close(v.heard)
	g.visits <- v
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		var said object
		if err := json.Unmarshal(data, &said); err != nil {
			g.t.Errorf("the client said %q: %v", data, err)
		}
		v.heard <- said
	}
}

// visit blocks until the client connects again.
func (g *fakeGateway) visit() *visit {
	g.t.Helper()
	select {
	case v := <-g.visits:
		return v
	case <-time.After(patience):
		g.t.Fatal("the client did not connect")
		return nil
	}
}

// welcome blocks until the client connects again, and sends the welcome.
func (g *fakeGateway) welcome() *visit {
	g.t.Helper()
	v := g.visit()
	v.say(`{"type":"welcome","session":"s","node":"n","ping":25}`)
	return v
}

func (v *visit) say(frames ...string) {
	v.t.Helper()
	for _, frame := range frames {
		if err := v.conn.Write(v.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			v.t.Fatalf("say %s: %v", frame, err)
		}
	}
}

func (v *visit) close(code int, reason string) {
	_ = v.conn.Close(websocket.StatusCode(code), reason)
}

// hear returns the next command, which must have the given fields.
func (v *visit) hear(want object) object {
	v.t.Helper()
	select {
	case got, ok := <-v.heard:
		if !ok {
			v.t.Fatalf("the client left, want %v", want)
		}
		shared := maps.Clone(got)
		maps.DeleteFunc(shared, func(name string, _ any) bool { _, wanted := want[name]; return !wanted })
		if !maps.Equal(shared, want) {
			v.t.Fatalf("the client said %v, want %v", got, want)
		}
		return got
	case <-time.After(patience):
		v.t.Fatalf("the client said nothing, want %v", want)
	}
	return nil
}

// hearSubscribe answers the next command, which must be a subscribe, with the given fields.
func (v *visit) hearSubscribe(want object, members string) {
	v.t.Helper()
	want["type"] = "subscribe"
	said := v.hear(want)
	v.say(reply("subscribed", said, `"channel":"`+said["channel"].(string)+`"`+members))
}

// reply returns a frame with the id of a command.
func reply(kind string, to object, members string) string {
	id, _ := json.Marshal(to["id"])
	return `{"type":"` + kind + `","id":` + string(id) + `,` + members + `}`
}

// awaitBusy blocks until the client reads nothing: it answers no ping.
func (v *visit) awaitBusy() {
	for {
		ctx, cancel := context.WithTimeout(v.t.Context(), 20*time.Millisecond)
		err := v.conn.Ping(ctx)
		cancel()
		if err != nil {
			return
		}
	}
}

// gone blocks until the client has disconnected.
func (v *visit) gone() {
	v.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-v.heard:
			if !ok {
				return
			}
		case <-deadline:
			v.t.Fatal("the client did not leave")
		}
	}
}

// running is a client whose Run lasts until the end of the test.
type running struct {
	*client.Client
	t     *testing.T
	links chan error
	end   context.CancelFunc
	ended chan error
}

func run(t *testing.T, config client.Config) *running {
	t.Helper()
	r := &running{t: t, links: make(chan error, 1024), ended: make(chan error, 1)}
	transport := &http.Transport{}
	config.HTTPClient = &http.Client{Transport: transport}
	config.RetryDelay = time.Millisecond
	config.MaxRetryDelay = 50 * time.Millisecond
	config.Link = func(err error) { r.links <- err }
	r.Client = client.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		r.result()
		transport.CloseIdleConnections()
	})
	return r
}

// result blocks until Run has returned.
func (r *running) result() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(patience):
		r.t.Fatal("Run did not return")
		return nil
	}
}

// later calls do in the background and returns a channel for its error.
func later(do func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- do() }()
	return result
}

func await(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		t.Fatal("the call did not return")
		return nil
	}
}

// subscribing subscribes in the background.
func (r *running) subscribing(channel string, options client.SubscribeOptions) (subscription func() *client.Subscription) {
	var s *client.Subscription
	result := later(func() (err error) {
		s, err = r.Subscribe(context.Background(), channel, options)
		return err
	})
	return func() *client.Subscription {
		r.t.Helper()
		if err := await(r.t, result); err != nil {
			r.t.Fatal(err)
		}
		return s
	}
}

func receive(t *testing.T, s *client.Subscription) client.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	event, err := s.Receive(ctx)
	if err != nil {
		t.Fatalf("Receive: %v", err)
	}
	return event
}

// wantCursors receives messages, which must have the given cursors.
func wantCursors(t *testing.T, s *client.Subscription, cursors ...string) {
	t.Helper()
	for _, cursor := range cursors {
		if m, ok := receive(t, s).(client.Message); !ok || m.Cursor != cursor {
			t.Fatalf("received %+v, want the message at %s", m, cursor)
		}
	}
}

func message(cursor string) string {
	return `{"type":"message","channel":"c","data":1,"cursor":"` + cursor + `"}`
}
