package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

// office is a backend: it answers questions and records notices.
type office struct {
	answer func(*gateway.Question) error // nil: allow everything
	deaf   map[gateway.HookEvent]bool    // events that it does not want

	// Guarded by mu.
	mu      sync.Mutex
	asked   []string
	told    []string
	full    bool // notices are rejected
	changed chan struct{}
}

func newOffice(answer func(*gateway.Question) error) *office {
	return &office{answer: answer, changed: make(chan struct{})}
}

func (o *office) Wants(event gateway.HookEvent) bool { return !o.deaf[event] }

func (o *office) Ask(_ context.Context, q *gateway.Question) error {
	o.note(&o.asked, string(q.Event), q.Principal.User, q.Channel)
	if o.answer == nil {
		return nil
	}
	return o.answer(q)
}

func (o *office) Tell(_ context.Context, notices []gateway.Notice) error {
	o.mu.Lock()
	full := o.full
	o.mu.Unlock()
	if full {
		return errors.New("no room")
	}
	for _, n := range notices {
		o.note(&o.told, string(n.Event), n.Channel, n.User, n.Reason.Label)
	}
	return nil
}

func (o *office) setFull(full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.full = full
}

func (o *office) note(list *[]string, words ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*list = append(*list, strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " "))
	close(o.changed)
	o.changed = make(chan struct{})
}

// heard returns how often it was told what.
func (o *office) heard(what string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, told := range o.told {
		if told == what {
			n++
		}
	}
	return n
}

func (o *office) questions() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

// expect waits until it has been told what.
func (o *office) expect(t *testing.T, what string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		o.mu.Lock()
		changed, told := o.changed, slices.Clone(o.told)
		o.mu.Unlock()
		if slices.Contains(told, what) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited in vain for %q; told %q", what, told)
		}
	}
}

func refuse(code gateway.Code) error { return &gateway.Error{Code: code, Message: "says the office"} }

func TestHooks_ConnectMayBeRefused(t *testing.T) {
	o := newOffice(func(*gateway.Question) error { return refuse(gateway.Forbidden) })
	n := startNode(t, gateway.Config{Hooks: o})
	_, err := n.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "alice"}, Remote: "192.0.2.7:5000"})
	wantCode(t, err, gateway.Forbidden)
	if sessions, err := n.Users.Sessions(t.Context(), "alice"); err != nil || len(sessions) > 0 {
		t.Errorf("sessions %v (%v), want none", sessions, err)
	}
	n.stop()
	if got := o.heard("disconnect alice policy"); got != 0 {
		t.Error("the end of a session that was not let in was told")
	}
}

func TestHooks_ConnectNamesTheUserAndTheChannels(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		if q.Event == gateway.OnConnect {
			q.Principal.User, q.Principal.Channels = "bob", []string{"closed"}
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, NoAnonymous: true, Rules: rules.List{{Match: "*"}}})
	p := n.connect(gateway.Hello{})
	p.expect("welcome bob")
	p.expect("subscribed @bob")
	p.expect("subscribed closed")
}

// The backend sees what the client says beside its token. What the backend says to the client
// arrives with the welcome or the subscription, as does how the client is shown there.
func TestHooks_ClientsAndTheBackendTellEachOther(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		if q.Told = json.RawMessage(`{"you said":"` + q.Data + `"}`); q.Event == gateway.OnSubscribe {
			q.Info = json.RawMessage(`{"role":"guest"}`)
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, Auth: names{}, Limits: gateway.Limits{MessageBytes: 40}, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Presence: true}}})
	hello := gateway.Hello{AuthLater: true, AuthFirst: true, Principal: gateway.Principal{Info: json.RawMessage(`{"name":"Alice"}`)}}
	p := n.connect(hello)
	p.send("auth alice please")
	p.expect(`welcome alice with {"you said":"please"}`)
	p.send("sub room")
	p.expect(`subscribed room with {"you said":""}`)
	eventually(t, "it is shown as the backend says", func() bool {
		found, err := n.Members(t.Context(), &backend, "room")
		return err == nil && len(found) == 1 && string(found[0].Info) == `{"role":"guest"}` && string(found[0].Elsewhere) == "null"
	})
	p.send("sub room") // it is not asked again
	p.until("another answer", func() bool { return count(p.lines(), "subscribed room") == 1 })
	q := n.connect(hello)
	q.send("auth alice %s", strings.Repeat("x", 40))
	q.expect("error too_large")
}

// The headers of clients that have yet to authenticate count towards the bounds of memory.
func TestHooks_KeptHeadersAreHeldForTheClient(t *testing.T) {
	m := metrics.New("test")
	o := newOffice(func(q *gateway.Question) error {
		if q.Headers["Cookie"] == nil {
			return refuse(gateway.Unauthenticated)
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, Auth: names{}, Metrics: m, Limits: gateway.Limits{InboundBytesPerIP: 1000}})
	ctx := gateway.WithHeaders(t.Context(), map[string][]string{"Cookie": {strings.Repeat("x", 600)}})
	hello := gateway.Hello{Protocol: words{"words"}, Transport: "test", AuthFirst: true, Remote: "192.0.2.1:1"}
	held := func() int { return gatewaytest.Sum(t, m, "tidegate_inbound_bytes") }
	for _, end := range []func(*gateway.Session){
		func(s *gateway.Session) { s.End(gateway.Left) },
		func(s *gateway.Session) { must(t, s.Receive(t.Context(), gateway.Frame{Data: []byte("auth alice")})) },
	} {
		s, err := n.Open(ctx, hello)
		must(t, err)
		if _, err := n.Open(ctx, hello); err == nil || gateway.ErrorOf(err).Code != gateway.RateLimited || held() != len("Cookie")+600 {
			t.Errorf("a second one: %v; %d bytes are held", err, held())
		}
		end(s)
		eventually(t, "nothing is held", func() bool { return held() == 0 })
		s.End(gateway.Left)
	}
	if asked := o.questions(); !slices.Equal(asked, []string{"connect alice"}) {
		t.Errorf("the backend was asked %q", asked)
	}
}

func TestHooks_ConnectIsAskedWhenTheClientAuthenticates(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		if q.Principal.User == "eve" {
			return refuse(gateway.Unauthenticated)
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, NoAnonymous: true, Auth: names{}})
	alice, eve := n.connect(gateway.Hello{AuthLater: true}), n.connect(gateway.Hello{AuthLater: true})
	alice.send("auth alice")
	alice.expect("welcome alice")
	eve.send("auth eve")
	eve.expect("error unauthenticated")
	if reason := eve.expectClosed(); reason.Code != 4001 {
		t.Errorf("closed with %+v", reason)
	}
	if got := o.questions(); !slices.Equal(got, []string{"connect alice", "connect eve"}) {
		t.Errorf("asked %q", got)
	}
}

func TestHooks_ARefusedSubscribeOpensNoHistoryEither(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		if q.Channel == "secret" {
			return refuse(gateway.Forbidden)
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o})
	p := n.connect(gateway.Hello{})
	p.send("sub secret")
	p.expect("error forbidden")
	p.send("history secret")
	p.until("a second error", func() bool { return count(p.lines(), "error forbidden") == 2 })
	_, err := n.ReadHistory(t.Context(), &gateway.Principal{User: "bob"}, gateway.History{Channel: "secret"})
	wantCode(t, err, gateway.Forbidden)
	if _, err = n.ReadHistory(t.Context(), &backend, gateway.History{Channel: "secret"}); err != nil {
		t.Errorf("the backend itself was refused: %v", err)
	}

	p.subscribe("open")
	p.send("history open")
	p.expect("history 0")
	if got := count(o.questions(), "subscribe open"); got != 1 {
		t.Errorf("asked %d times about a channel that the session is on, want once", got)
	}
}

func TestHooks_WhatTheRulesRefuseIsNotAsked(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o, Rules: rules.List{{Match: "*"}}})
	p := n.connect(gateway.Hello{})
	p.send("sub a")
	p.expect("error unauthenticated")
	p.send("pub a 1")
	p.until("a second error", func() bool { return count(p.lines(), "error unauthenticated") == 2 })
	if got := o.questions(); !slices.Equal(got, []string{"connect"}) {
		t.Errorf("asked %q", got)
	}
}

func TestHooks_PublishIsRewrittenOrRefused(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		switch {
		case q.Event != gateway.OnPublish:
		case string(q.Publish.Payload) == "bad":
			return refuse(gateway.RateLimited)
		case string(q.Publish.Payload) == "grow":
			q.Publish.Payload = []byte("12345678901")
		default:
			q.Publish.Payload, q.Publish.Kind = []byte("nice"), broker.Text
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, Limits: gateway.Limits{MessageBytes: 10}})
	p := n.listen("chat")
	p.send("pub chat rude")
	p.expect("message chat nice")
	p.send("pub chat bad")
	p.expect("error rate_limited")
	p.send("pub chat grow")
	p.expect("error too_large")
	_, err := n.Publish(t.Context(), &gateway.Principal{User: "bob"}, gateway.Publish{Channel: "chat", Payload: []byte("bad")})
	wantCode(t, err, gateway.RateLimited)
	n.publish("chat", "rude") // as the backend
	p.expect("message chat rude")
	if got := p.heardOf("chat"); !slices.Equal(got, []string{"nice", "rude"}) {
		t.Errorf("heard %q", got)
	}
}

// A client that waits for the backend must not hold up others.
func TestHooks_ASlowBackendHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	o := newOffice(func(q *gateway.Question) error {
		if q.Principal.User == "slow" && q.Channel == "chat" {
			<-release
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o})
	slow, quick := n.connectAs("slow"), n.connectAs("quick", "chat")
	slow.send("sub chat")
	quick.send("pub chat 1")
	quick.expect("message chat 1")
	if err := n.SetRules(rules.Development()); err != nil {
		t.Error(err)
	}
	n.connectAs("third", "chat")
	close(release)
	slow.expect("subscribed chat")
}

func TestHooks_TheEndOfASessionIsToldWithItsReason(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o})
	n.connectAs("alice").send("break")
	o.expect(t, "disconnect alice unsupported_data")
	if got := o.heard("disconnect alice unsupported_data"); got != 1 {
		t.Errorf("told %d times", got)
	}
}

func TestHooks_DisconnectIsNotToldOfASessionThatNeverAuthenticated(t *testing.T) {
	o := newOffice(nil)
	n := startNode(t, gateway.Config{Hooks: o, NoAnonymous: true})
	p := n.connect(gateway.Hello{AuthLater: true})
	p.expect("welcome")
	p.send("break")
	p.expectClosed()
	n.stop()
	if got := o.heard("disconnect unsupported_data"); got != 0 {
		t.Errorf("told of a session that the backend has not let in: %q", o.told)
	}
}

func TestSetRules_HoldsForASubscribeThatIsUnderWay(t *testing.T) {
	var n *node
	n = startNode(t, gateway.Config{Hooks: newOffice(func(q *gateway.Question) error {
		if q.Event != gateway.OnSubscribe {
			return nil
		}
		return n.SetRules(rules.List{{Match: "*", Subscribe: rules.Nobody}})
	})})
	p := n.connect(gateway.Hello{})
	p.send("sub chat")
	p.expect("unsubscribed chat unauthenticated")
	n.publish("chat", "secret")
	p.send("ping")
	p.expect("pong")
	if got := p.heardOf("chat"); len(got) > 0 {
		t.Errorf("heard %q on a channel that is closed", got)
	}
}

func TestHooks_CallsAreAnsweredByTheBackend(t *testing.T) {
	o := newOffice(func(q *gateway.Question) error {
		switch {
		case q.Event != gateway.OnRPC:
		case q.Call.Method == "double":
			q.Answer = &gateway.Answer{Payload: append(q.Call.Payload, q.Call.Payload...)}
		case q.Call.Method == "deep":
			q.Answer = &gateway.Answer{Payload: []byte(strings.Repeat("[", 101) + strings.Repeat("]", 101))}
		case q.Call.Method == "refuse":
			return &gateway.Error{Code: gateway.Forbidden, Message: "no"}
		}
		return nil
	})
	n := startNode(t, gateway.Config{Hooks: o, Limits: gateway.Limits{MessageBytes: 1000}})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	for command, want := range map[string]string{
		"call double 21": "answer 2121",
		"call refuse":    "error forbidden",
		"call away":      "error unavailable",
		"call deep":      "error bad_request",
		"call double " + strings.Repeat("[", 101):  "error bad_request",
		"call double " + strings.Repeat("1", 1001): "error too_large",
		"call " + strings.Repeat("x", 256):         "error bad_request",
	} {
		p.send("%s", command)
		p.expect(want)
	}
	quiet := startNode(t, gateway.Config{}).connect(gateway.Hello{})
	quiet.send("call double 21")
	quiet.expect("error not_found")
}
