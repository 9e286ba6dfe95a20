package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/native"
	"tidegate/gateway/rules"
	"tidegate/gateway/webhook"
)

func connecting() *gateway.Question {
	return &gateway.Question{
		Event: gateway.OnConnect, Node: "n1", Session: "s1", Transport: "websocket", Protocol: "native", Remote: "192.0.2.7",
		Principal: gateway.Principal{User: "alice", Info: json.RawMessage(`{"a":1}`), Expires: time.Unix(2e9, 0)},
	}
}

func publishing(payload string, kind broker.Kind) *gateway.Question {
	q := connecting()
	q.Event, q.Channel = gateway.OnPublish, "chat"
	q.Publish = &gateway.Publish{Channel: "chat", Payload: []byte(payload), Kind: kind, Event: "said", Key: "k"}
	return q
}

func TestAsk_ShowsTheBackendWhoWantsWhat(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.HookEvents()...))
	must(t, w.Ask(t.Context(), publishing(`{"x":1}`, broker.JSON)))
	want := request{
		Event: "publish", Node: "n1", Session: "s1", Remote: "192.0.2.7", User: "alice", Info: json.RawMessage(`{"a":1}`),
		Channel: "chat", Data: json.RawMessage(`{"x":1}`), Name: "said", Key: "k",
	}
	if got := b.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("the backend saw %+v, want %+v", got, want)
	}
	for kind, seen := range map[broker.Kind]func(request) string{
		broker.Text:   func(r request) string { return *r.Text },
		broker.Binary: func(r request) string { return string(*r.Binary) },
	} {
		must(t, w.Ask(t.Context(), publishing("42", kind)))
		if got := seen(b.last()); got != "42" {
			t.Errorf("%v: the backend saw %q, want 42", kind, got)
		}
	}
}

func TestAsk_Verdicts(t *testing.T) {
	const away = gateway.Unavailable
	for _, c := range []struct {
		name, body string
		status     int
		want       gateway.Code // empty if allowed
		message    string
	}{
		{"no content", "", 204, "", ""},
		{"allowed", `{"allow":true}`, 200, "", ""},
		{"refused", `{"allow":false,"message":"go away"}`, 200, gateway.Forbidden, "go away"},
		{"refused with a code", `{"allow":false,"code":"rate_limited"}`, 200, gateway.RateLimited, `the backend refused the publish on "chat"`},
		{"refused with a code of its own", `{"allow":false,"code":"teapot"}`, 200, gateway.Forbidden, `the backend refused the publish on "chat"`},
		{"refused with a code that means something else", `{"allow":false,"code":"unavailable"}`, 200, gateway.Forbidden, `the backend refused the publish on "chat"`},
		{"forgotten to allow", `{}`, 200, gateway.Forbidden, `the backend refused the publish on "chat"`},
		{"401", "", 401, gateway.Unauthenticated, `the backend refused the publish on "chat"`},
		{"403", "no", 403, gateway.Forbidden, `the backend refused the publish on "chat"`},
		{"a page", "<html>", 200, away, ""},
		{"nothing", "", 200, away, ""},
		{"broken", "", 500, away, ""},
		{"not there", "", 404, away, ""},
		{"too long", `{"allow":true,"x":"` + strings.Repeat("x", 1<<20) + `"}`, 200, away, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := startBackend(t)
			b.answers(c.status, c.body)
			w := newWebhook(t, b.config(gateway.OnPublish))
			wantCode(t, w.Ask(t.Context(), publishing("1", broker.JSON)), c.want, c.message)
			if c.want != away {
				return
			}
			lenient := b.config(gateway.OnPublish)
			lenient.WhenAway = webhook.Allow
			w = newWebhook(t, lenient)
			wantCode(t, w.Ask(t.Context(), publishing("1", broker.JSON)), "", "")
		})
	}
}

// The size of an answer's header is limited, as its body is.
func TestAsk_AnAnswerWithALongHeaderIsNone(t *testing.T) {
	b := startBackend(t)
	for size, want := range map[int]gateway.Code{1 << 10: "", 16 << 10: gateway.Unavailable} {
		b.does(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", size))
			w.WriteHeader(http.StatusNoContent)
		})
		wantCode(t, newWebhook(t, b.config(gateway.OnPublish)).Ask(t.Context(), publishing("1", broker.JSON)), want, "")
	}
}

func wantCode(t *testing.T, err error, code gateway.Code, message string) {
	t.Helper()
	var e *gateway.Error
	switch {
	case code == "" && err == nil:
	case code == "" || !errors.As(err, &e) || e.Code != code || message != "" && e.Message != message:
		t.Errorf("got %v, want %s %s", err, code, message)
	}
}

func TestAsk_ABackendThatDoesNotAnswerInTimeIsAway(t *testing.T) {
	for _, c := range []struct {
		whenAway webhook.Verdict
		want     gateway.Code
	}{{"", gateway.Unavailable}, {webhook.Deny, gateway.Unavailable}, {webhook.Allow, ""}} {
		b := startBackend(t)
		release := make(chan struct{})
		b.does(func(http.ResponseWriter, *http.Request) { <-release })
		config := b.config(gateway.OnConnect)
		config.WhenAway, config.Timeout = c.whenAway, 50*time.Millisecond
		w := newWebhook(t, config)
		wantCode(t, w.Ask(t.Context(), connecting()), c.want, "")
		close(release)
	}
}

// Clients may find a question that makes the backend fail, and ask it again and again.
func TestAsk_ABackendThatFailsNowAndThenFillsNoLog(t *testing.T) {
	b := startBackend(t)
	var said log
	config := b.config(gateway.OnPublish)
	config.Log = slog.New(slog.NewTextHandler(&said, nil))
	w := newWebhook(t, config)
	for range 10 {
		for status, code := range map[int]gateway.Code{http.StatusInternalServerError: gateway.Unavailable, http.StatusNoContent: ""} {
			b.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			wantCode(t, w.Ask(t.Context(), publishing("1", broker.JSON)), code, "")
		}
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 {
		t.Errorf("the log has %d lines, want one:\n%s", lines, said.String())
	}
}

func TestAsk_NobodyThereIsAway(t *testing.T) {
	var said log
	w := newWebhook(t, webhook.Config{
		URL: "http://user:hunter2@" + brokertest.FreeAddress(t) + "/?token=hunter3", Secret: secret,
		Events: []gateway.HookEvent{gateway.OnConnect}, Log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	wantCode(t, w.Ask(t.Context(), connecting()), gateway.Unavailable, "")
	if text := said.String(); !strings.Contains(text, "the webhook's backend is away") {
		t.Errorf("the log says %q", text)
	}
	for _, hidden := range []string{"hunter2", "hunter3", secret} {
		if strings.Contains(said.String(), hidden) {
			t.Errorf("the log shows %s: %s", hidden, said.String())
		}
	}
}

func TestAsk_FollowsNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the redirect was followed")
		w.WriteHeader(http.StatusNoContent)
	}))
	defer other.Close()
	b := startBackend(t)
	b.does(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	w := newWebhook(t, b.config(gateway.OnConnect))
	wantCode(t, w.Ask(t.Context(), connecting()), gateway.Unavailable, "")
}

func TestAsk_ConnectNamesTheUserInfoAndChannels(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnConnect))
	for _, c := range []struct {
		answer string
		want   gateway.Principal
	}{
		{`{"allow":true}`, gateway.Principal{User: "alice", Info: json.RawMessage(`{"a":1}`)}},
		{`{"allow":true,"user":"bob","info":{"b": 2},"channels":["news"]}`,
			gateway.Principal{User: "bob", Info: json.RawMessage(`{"b":2}`), Channels: []string{"news"}}},
		{`{"allow":true,"user":"","info":null}`, gateway.Principal{}},
	} {
		b.answers(200, c.answer)
		q := connecting()
		c.want.Expires = q.Principal.Expires
		if err := w.Ask(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", c.answer, err)
		}
		if !reflect.DeepEqual(q.Principal, c.want) {
			t.Errorf("%s: %+v, want %+v", c.answer, q.Principal, c.want)
		}
	}
	for _, nonsense := range []string{
		`{"allow":true,"user":"a b"}`, `{"allow":true,"user":7}`, `{"allow":true,"channels":["a b"]}`,
		`{"allow":true,"user":"a\u200bb"}`, `{"allow":true,"user":"a\u202eb"}`, `{"allow":true,"channels":["a\u0001"]}`, `{"allow":true,"channels":["a\ufeff"]}`,
		`{"allow":true,"channels":"news"}`, `{"allow":true,"info":"` + strings.Repeat("x", 1025) + `"}`,
		`{"allow":true,"info":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`,
	} {
		b.answers(200, nonsense)
		q := connecting()
		wantCode(t, w.Ask(t.Context(), q), gateway.Unavailable, "")
		if !reflect.DeepEqual(q.Principal, connecting().Principal) {
			t.Errorf("%.60s: the principal became %+v", nonsense, q.Principal)
		}
	}
}

func TestAsk_ASubscribeIsShownAndToldWhatTheBackendSays(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnSubscribe))
	for answer, want := range map[string][2]string{
		`{"allow":true}`: {},
		`{"allow":true,"info":{"role": "guest"},"data":[1, 2]}`:    {`{"role":"guest"}`, `[1,2]`},
		`{"allow":true,"info":null,"data":null,"text":"left out"}`: {},
	} {
		b.answers(200, answer)
		q := connecting()
		q.Event, q.Channel, q.Data = gateway.OnSubscribe, "chat", `{"since": 7}`
		if err := w.Ask(t.Context(), q); err != nil || string(q.Info) != want[0] || string(q.Told) != want[1] {
			t.Errorf("%s: %s and %s, %v; want %s", answer, q.Info, q.Told, err, want)
		}
		if got := b.last(); got.Channel != "chat" || string(got.Data) != `{"since":7}` {
			t.Errorf("the backend saw %+v", got)
		}
	}
	for _, nonsense := range []string{`"info":"` + strings.Repeat("x", 1023) + `"`, `"data":` + strings.Repeat("[", 101) + strings.Repeat("]", 101)} {
		b.answers(200, `{"allow":true,`+nonsense+"}")
		q := connecting()
		q.Event = gateway.OnSubscribe
		wantCode(t, w.Ask(t.Context(), q), gateway.Unavailable, "")
	}
}

func TestAsk_AConnectIsToldWhatTheBackendSays(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnConnect))
	b.answers(200, `{"allow":true,"data":{"hello": "there"}}`)
	for said, want := range map[string]func(request) bool{
		`{"key":1}`: func(r request) bool { return string(r.Data) == `{"key":1}` },
		"sesame":    func(r request) bool { return r.Text != nil && *r.Text == "sesame" },
		"":          func(r request) bool { return r.Data == nil && r.Text == nil && r.Binary == nil },
	} {
		q := connecting()
		q.Data = said
		if err := w.Ask(t.Context(), q); err != nil || string(q.Told) != `{"hello":"there"}` || !want(b.last()) {
			t.Errorf("%q: %s, %v; the backend saw %+v", said, q.Told, err, b.last())
		}
	}
}

func TestAsk_PublishIsRewritten(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnPublish))
	for answer, want := range map[string]gateway.Publish{
		`{"allow":true}`:                   {Payload: []byte(`1`), Kind: broker.JSON},
		`{"allow":true,"data":{"n":2}}`:    {Payload: []byte(`{"n":2}`), Kind: broker.JSON},
		`{"allow":true,"text":"two"}`:      {Payload: []byte(`two`), Kind: broker.Text},
		`{"allow":true,"binary":"AAE="}`:   {Payload: []byte("\x00\x01"), Kind: broker.Binary},
		`{"allow":true,"data":null}`:       {Payload: []byte(`null`), Kind: broker.JSON},
		`{"allow":true,"channel":"other"}`: {Payload: []byte(`1`), Kind: broker.JSON},
	} {
		b.answers(200, answer)
		q := publishing("1", broker.JSON)
		if err := w.Ask(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		want.Channel, want.Event, want.Key = "chat", "said", "k"
		if !reflect.DeepEqual(*q.Publish, want) {
			t.Errorf("%s: %+v, want %+v", answer, *q.Publish, want)
		}
	}
}

func TestAsk_ShowsTheHeadersThatAreForwarded(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnConnect))
	g, err := gateway.New(gateway.Config{Broker: broker.NewMemory(), Rules: rules.Development(), Hooks: w})
	must(t, err)
	gatewaytest.Run(t, g, func() {})
	b.answers(http.StatusForbidden, "")
	handler := webhook.Forward([]string{"cookie"}, func(*http.Request) bool { return true }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := g.Open(r.Context(), gateway.Hello{Protocol: native.Protocol{}})
		wantCode(t, err, gateway.Forbidden, "")
	}))
	r := httptest.NewRequest(http.MethodGet, "/ws", nil)
	r.Header.Set("Cookie", "session=1")
	r.Header.Set("X-Other", "2")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if got, want := b.last().Headers, (http.Header{"Cookie": {"session=1"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("the backend saw %v, want %v", got, want)
	}
}

func TestAsk_ConnectionsAreReused(t *testing.T) {
	b := startBackend(t)
	var remotes []string
	b.does(func(w http.ResponseWriter, r *http.Request) {
		remotes = append(remotes, r.RemoteAddr)
		w.WriteHeader(http.StatusNoContent)
	})
	w := newWebhook(t, b.config(gateway.OnConnect))
	for range 20 {
		must(t, w.Ask(t.Context(), connecting()))
	}
	for _, remote := range remotes {
		if remote != remotes[0] {
			t.Errorf("connections from %v, want one", remotes)
			break
		}
	}
}

func TestAsk_AnswersCalls(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnRPC))
	for said, want := range map[string]gateway.Answer{
		`{"allow":true,"data":{"n":2}}`: {Payload: []byte(`{"n":2}`)},
		`{"allow":true,"text":"two"}`:   {Payload: []byte("two"), Kind: broker.Text},
		`{"allow":true}`:                {},
	} {
		b.answers(http.StatusOK, said)
		q := connecting()
		q.Event, q.Call = gateway.OnRPC, &gateway.Call{Method: "double", Payload: []byte("1")}
		must(t, w.Ask(t.Context(), q))
		if got := b.last(); got.Event != "rpc" || got.Method != "double" || string(got.Data) != "1" {
			t.Errorf("the backend saw %+v", got)
		}
		if q.Answer == nil || !reflect.DeepEqual(*q.Answer, want) {
			t.Errorf("%s is the answer %+v, want %+v", said, q.Answer, want)
		}
	}
}

// It says nothing of the backend that a client, or the node, did not wait for it.
func TestWebhook_IsNotAwayBecauseTheCallerHasGone(t *testing.T) {
	b := startBackend(t)
	asked, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	b.does(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-done
	})
	var said log
	c := b.config(gateway.HookEvents()...)
	c.WhenAway, c.Log = webhook.Allow, slog.New(slog.NewTextHandler(&said, nil))
	c.Observe = func(event, result string) { t.Errorf("counted: %s %s", event, result) }
	w := newWebhook(t, c)
	for what, do := range map[string]func(context.Context) error{
		"Ask": func(ctx context.Context) error { return w.Ask(ctx, connecting()) },
		"Tell": func(ctx context.Context) error {
			return w.Tell(ctx, []gateway.Notice{{Event: gateway.OnChannelVacated}})
		},
	} {
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-asked
			leave()
		}()
		if err := do(ctx); err == nil {
			t.Errorf("%s of a caller that has gone is no error", what)
		}
	}
	if said.String() != "" {
		t.Errorf("logged: %s", said.String())
	}
}
