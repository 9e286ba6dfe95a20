package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// patience is how long a test waits for an expected event.
const patience = 20 * time.Second

// words is a protocol for these tests. A frame is the name of a command or an event, followed
// by its arguments, separated by spaces. The name of the protocol selects variants of it.
type words struct{ name string }

func (w words) Name() string { return w.name }

func (w words) Decode(f gateway.Frame) ([]gateway.Command, error) {
	word := strings.Fields(string(f.Data))
	arg := func(i int) string {
		if i < len(word) {
			return word[i]
		}
		return ""
	}
	id := gateway.ID{Value: 1, Given: w.name != "nameless"}
	switch arg(0) {
	case "sub":
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Cursor: arg(2)}}, nil
	case "subrecent":
		n, _ := strconv.Atoi(arg(2))
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Recent: n, Cursor: arg(3)}}, nil
	case "submembers":
		n, _ := strconv.Atoi(arg(2))
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Members: true, Recent: n}}, nil
	case "subtoken":
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Token: arg(2), Data: arg(3)}}, nil
	case "subquiet":
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), NoEcho: true}}, nil
	case "subdeltas":
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Cursor: arg(2), Deltas: true}}, nil
	case "subquietdeltas":
		return []gateway.Command{gateway.Subscribe{ID: id, Channel: arg(1), Deltas: true, NoEcho: true}}, nil
	case "renew":
		return []gateway.Command{gateway.Renew{ID: id, Channel: arg(1), Token: arg(2), Data: arg(3)}}, nil
	case "unsub":
		return []gateway.Command{gateway.Unsubscribe{ID: id, Channel: arg(1)}}, nil
	case "pub":
		return []gateway.Command{gateway.Publish{ID: id, Channel: arg(1), Payload: []byte(arg(2)), Kind: broker.Text}}, nil
	case "pubjoined":
		return []gateway.Command{gateway.Publish{ID: id, Channel: arg(1), Payload: []byte(arg(2)), Kind: broker.Text, Joined: true}}, nil
	case "pubexcept":
		return []gateway.Command{gateway.Publish{ID: id, Channel: arg(1), Payload: []byte(arg(2)), Kind: broker.Text, Except: arg(3)}}, nil
	case "auth":
		return []gateway.Command{gateway.Auth{ID: id, Token: arg(1), Data: arg(2)}}, nil
	case "authat":
		return []gateway.Command{gateway.Auth{ID: id, Token: arg(1), Cursors: map[string]string{arg(2): arg(3)}}}, nil
	case "presence":
		return []gateway.Command{gateway.Presence{ID: id, Channel: arg(1)}}, nil
	case "history":
		return []gateway.Command{gateway.History{ID: id, Channel: arg(1), Cursor: arg(2)}}, nil
	case "ping":
		return []gateway.Command{gateway.Ping{ID: id}}, nil
	case "call":
		return []gateway.Command{gateway.Call{ID: id, Method: arg(1), Payload: []byte(arg(2))}}, nil
	case "break":
		return nil, gateway.Unsupported
	}
	return []gateway.Command{gateway.Malformed{ID: id, Reason: "not a word"}}, nil
}

func (w words) Encode(event gateway.Event) (gateway.Frame, error) {
	switch e := event.(type) {
	case gateway.Welcome:
		if w.name == "exact" {
			return say("welcome %s key=%s expires=%d", e.User, e.Key, e.Expires.Unix())
		}
		if w.name == "complete" {
			return say("welcome %s%s", e.User, listOf(e.Channels))
		}
		if e.Data != nil {
			return say("welcome %s with %s", e.User, e.Data)
		}
		return say("welcome %s", e.User)
	case gateway.Subscribed:
		if e.Welcomed && w.name == "complete" {
			return gateway.Frame{}, nil
		}
		if e.Resumed && !e.Recovered && w.name == "curt" {
			return gateway.Frame{}, gateway.Missed
		}
		if w.name == "exact" {
			return say("subscribed %s after=%d", e.Channel, e.After.Offset)
		}
		if e.Resumed {
			return say("subscribed %s recovered=%v", e.Channel, e.Recovered)
		}
		if e.Members != nil {
			return say("subscribed %s %v", e.Channel, namesOfMembers(e.Members))
		}
		if e.Data != nil {
			return say("subscribed %s with %s", e.Channel, e.Data)
		}
		return say("subscribed %s", e.Channel)
	case gateway.Unsubscribed:
		return say("unsubscribed %s %s", e.Channel, e.Code)
	case gateway.Renewed:
		return say("renewed %s", e.Channel)
	case gateway.Published:
		return say("published %s", e.Channel)
	case gateway.Message:
		if w.name == "signed" {
			return say("message %s %s by %s", e.Channel, e.Payload, e.User)
		}
		return say("message %s %s %s", e.Channel, e.Payload, e.Position)
	case gateway.Delta:
		if e.Before == nil {
			return say("message %s %s in full", e.Channel, e.Payload)
		}
		return say("message %s %s after %s", e.Channel, e.Payload, e.Before.Payload)
	case gateway.Messages:
		return say("history %d lost=%v top=%d", len(e.Messages), e.Lost, e.Top.Offset)
	case gateway.Gap:
		if w.name == "curt" {
			return gateway.Frame{}, gateway.Missed
		}
		frame, err := say("gap %s", e.Channel)
		frame.Last = w.name == "leaving"
		return frame, err
	case gateway.NothingRecent:
		return say("nothing recent %s", e.Channel)
	case gateway.Failure:
		return say("%s", strings.TrimSpace(fmt.Sprintf("error %s %s", e.Code, e.Reason.Label)))
	case gateway.Answer:
		return say("answer %s", e.Payload)
	case gateway.Pong:
		return say("pong")
	case gateway.Heartbeat:
		return say("heartbeat")
	case gateway.Reconnect:
		return say("reconnect")
	case gateway.Goodbye:
		return say("goodbye %s", e.Reason.Label)
	case gateway.Join, gateway.Leave, gateway.Members, gateway.PresenceChanged:
		text, _ := json.Marshal(e)
		frame, err := say("%T %s", e, text)
		frame.Others = w.name == "discreet"
		return frame, err
	}
	return gateway.Frame{}, fmt.Errorf("unknown event %T", event)
}

// Farewell returns the close code and text of a reason. The variant "sworn" changes both.
func (w words) Farewell(r gateway.Reason) (code int, text string) {
	if w.name == "sworn" {
		return 4200 + r.Code%100, "sworn " + r.Label
	}
	return r.Code, r.Text
}

// listOf formats the channels that the server has subscribed the session to: the name, the
// offset after which messages follow and, if the session has resumed, whether all missed
// messages were recovered.
func listOf(channels []gateway.Subscribed) (text string) {
	for _, e := range channels {
		text += fmt.Sprintf(" %s@%d", e.Channel, e.After.Offset)
		if e.Resumed {
			text += fmt.Sprintf("=%v", e.Recovered)
		}
	}
	return text
}

func namesOfMembers(members []gateway.Member) (names []string) {
	for _, m := range members {
		names = append(names, strings.TrimSuffix(m.User+"/"+m.Session, "/"))
	}
	return names
}

func say(format string, args ...any) (gateway.Frame, error) {
	return gateway.Frame{Data: fmt.Appendf(nil, format+"\n", args...)}, nil
}

// peer is a client and its connection. It reads everything that the gateway writes, unless it
// is stalled.
type peer struct {
	t      testing.TB
	says   chan string
	closed chan struct{}

	mu      sync.Mutex
	wrote   []string // lines
	writes  int
	heard   time.Time
	stalled chan struct{} // closed when it resumes reading; nil if it reads
	reason  gateway.Reason
	over    bool
	changed chan struct{}
}

var _ gateway.Conn = (*peer)(nil)

func newPeer(t testing.TB) *peer {
	return &peer{t: t, says: make(chan string), closed: make(chan struct{}), heard: time.Now(), changed: make(chan struct{})}
}

func (p *peer) Read(context.Context) (gateway.Frame, error) {
	select {
	case text, ok := <-p.says:
		if !ok {
			return gateway.Frame{}, io.EOF
		}
		p.mu.Lock()
		p.heard = time.Now()
		p.mu.Unlock()
		return gateway.Frame{Data: []byte(text)}, nil
	case <-p.closed:
		return gateway.Frame{}, errClosed
	}
}

var errClosed = io.ErrClosedPipe

func (p *peer) Write(frames [][]byte, wait time.Duration) ([][]byte, error) {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		if wait == 0 {
			return frames, nil
		}
		select {
		case <-stalled:
		case <-p.closed:
			return frames, errClosed
		case <-time.After(wait):
			return frames, nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	for _, frame := range frames {
		p.wrote = append(p.wrote, strings.TrimSuffix(string(frame), "\n"))
	}
	p.note()
	return nil, nil
}

// note wakes the goroutines that wait for a change. The caller must hold mu.
func (p *peer) note() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *peer) Heard() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard
}

func (p *peer) Close(reason gateway.Reason, _ []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over, p.reason = true, reason
		close(p.closed)
		p.note()
	}
}

// stall makes the peer stop reading until resume is called.
func (p *peer) stall() (resume func()) {
	stalled := make(chan struct{})
	p.mu.Lock()
	p.stalled = stalled
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.stalled = nil
		p.mu.Unlock()
		close(stalled)
	}
}

// send sends a frame to the gateway.
func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	select {
	case p.says <- fmt.Sprintf(format, args...):
	case <-p.closed:
		p.t.Errorf("the gateway closed the connection: %+v", p.reason)
	case <-time.After(patience):
		p.t.Fatal("the gateway does not read")
	}
}

// lines returns all lines that the gateway has written.
func (p *peer) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrote[:len(p.wrote):len(p.wrote)]
}

// heardOf returns the payloads of the messages received on a channel, in order.
func (p *peer) heardOf(channel string) (payloads []string) {
	for _, line := range p.lines() {
		if rest, ok := strings.CutPrefix(line, "message "+channel+" "); ok {
			payloads = append(payloads, strings.Fields(rest)[0])
		}
	}
	return payloads
}

// expect waits until the gateway has written a line that begins with prefix, and returns the
// line.
func (p *peer) expect(prefix string) string {
	p.t.Helper()
	var found string
	looked := 0
	p.until(fmt.Sprintf("a line %q", prefix), func() bool {
		lines := p.lines()
		for ; looked < len(lines); looked++ {
			if strings.HasPrefix(lines[looked], prefix) {
				found = lines[looked]
				return true
			}
		}
		return false
	})
	return found
}

// until waits until met returns true. It checks again each time that the gateway writes or
// closes the connection.
func (p *peer) until(what string, met func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if met() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			lines := p.lines()
			p.t.Fatalf("waited in vain for %s; got %d lines, at last %.500q", what, len(lines), lines[max(0, len(lines)-10):])
		}
	}
}

// expectClosed waits until the gateway has closed the connection, and returns the reason.
func (p *peer) expectClosed() gateway.Reason {
	p.t.Helper()
	p.until("a close", func() bool {
		select {
		case <-p.closed:
			return true
		default:
			return false
		}
	})
	return p.reason
}

// node is a running gateway.
type node struct {
	*gateway.Gateway
	t    testing.TB
	stop func()
}

// startNode runs a gateway until the test ends or stop is called.
func startNode(t testing.TB, c gateway.Config) *node {
	t.Helper()
	if c.Broker == nil {
		memory := broker.NewMemory()
		c.Broker, c.History, c.Presence = memory, memory, memory
	}
	if c.Rules == nil {
		c.Rules = rules.Development()
	}
	g, err := gateway.New(c)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	n := &node{Gateway: g, t: t, stop: sync.OnceFunc(func() { cancel(); <-ended })}
	t.Cleanup(n.stop)
	n.awaitReady()
	return n
}

func (n *node) awaitReady() {
	n.t.Helper()
	for deadline := time.Now().Add(patience); n.Ready() != nil; {
		if time.Now().After(deadline) {
			n.t.Fatalf("not ready: %v", n.Ready())
		}
		<-time.After(time.Millisecond)
	}
}

// connect opens a session and serves it until the test ends.
func (n *node) connect(hello gateway.Hello) *peer {
	n.t.Helper()
	p, err := n.tryConnect(hello)
	if err != nil {
		n.t.Fatalf("Open: %v", err)
	}
	return p
}

func (n *node) tryConnect(hello gateway.Hello) (*peer, error) {
	if hello.Protocol == nil {
		hello.Protocol = words{"words"}
	}
	hello.Transport = "test"
	s, err := n.Open(context.Background(), hello)
	if err != nil {
		return nil, err
	}
	p := newPeer(n.t)
	served := make(chan struct{})
	go func() { defer close(served); serve(context.Background(), s, p) }()
	n.t.Cleanup(func() { p.Close(gateway.Lost, nil); <-served })
	return p, nil
}

// speaker is a connection that frames of the client can be read from.
type speaker interface {
	gateway.Conn
	Read(context.Context) (gateway.Frame, error)
}

// serve stands in for a transport. It returns the reason for the end of the session.
func serve(ctx context.Context, s *gateway.Session, conn speaker) gateway.Reason {
	s.Attach(conn)
	for {
		s.Rest()
		frame, err := conn.Read(ctx)
		if err == nil {
			err = s.Receive(ctx, frame)
		}
		if err != nil {
			return s.End(err)
		}
	}
}

// listen connects a client and subscribes it to the channels.
func (n *node) listen(channels ...string) *peer {
	n.t.Helper()
	p := n.connect(gateway.Hello{})
	p.subscribe(channels...)
	return p
}

// subscribe subscribes to the channels. It retries while Redis is too busy to confirm in time.
func (p *peer) subscribe(channels ...string) {
	p.t.Helper()
	for _, channel := range channels {
		subscribed := func() bool {
			return slices.ContainsFunc(p.lines(), func(line string) bool { return strings.HasPrefix(line+" ", "subscribed "+channel+" ") })
		}
		for refused := 0; !subscribed(); refused++ {
			p.send("sub %s", channel)
			p.until("an answer", func() bool { return subscribed() || count(p.lines(), "error unavailable") > refused })
		}
	}
}

// publish publishes as a backend.
func (n *node) publish(channel, format string, args ...any) broker.Position {
	n.t.Helper()
	position, err := n.Publish(context.Background(), &backend, gateway.Publish{
		Channel: channel, Payload: fmt.Appendf(nil, format, args...), Kind: broker.Text,
	})
	if err != nil {
		n.t.Fatalf("publish to %s: %v", channel, err)
	}
	return position
}

// publishMany publishes so many messages of 500 bytes, which begin with "0-", "1-" and so on.
func (n *node) publishMany(channel string, messages int) {
	n.t.Helper()
	for i := range messages {
		n.publish(channel, "%d-%s", i, strings.Repeat("x", 500))
	}
}

var backend = gateway.Principal{Key: "tests"}
