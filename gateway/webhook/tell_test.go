package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

func leaving(session int) gateway.Notice {
	return gateway.Notice{
		ID: fmt.Sprint("disconnect ", session), Event: gateway.OnDisconnect, Time: time.Now(), Node: "n1", Session: fmt.Sprint(session),
		User: "alice", Reason: gateway.TokenExpired,
	}
}

func TestTell_SaysWhatHappened(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.HookEvents()...))
	at := time.UnixMilli(1767225600123)
	joined := gateway.Notice{
		ID: "0:1-2", Event: gateway.OnMemberJoined, Time: at, Node: "n1", Channel: "chat", User: "alice", Session: "s1",
		Info: json.RawMessage(`{"a":1}`), Sessions: 3,
	}
	left := leaving(1)
	left.Time = at
	occupied := gateway.Notice{ID: "0:1-3", Event: gateway.OnChannelVacated, Time: at, Node: "n1", Channel: "chat"}
	counted := gateway.Notice{ID: "0:1-4", Event: gateway.OnSessionsChanged, Time: at, Node: "n1", Channel: "chat", Sessions: 7}
	published := gateway.Notice{
		ID: "0:1-5", Event: gateway.OnPublished, Time: at, Node: "n1", Channel: "chat", User: "alice", Session: "s1",
		Message: &broker.Message{Channel: "chat", Event: "client-typing", Payload: []byte("hi"), Kind: broker.Text},
	}
	nothing := gateway.Notice{ID: "0:1-6", Event: gateway.OnNothingRecent, Time: at, Node: "n1", Channel: "chat", Session: "s1"}
	must(t, w.Tell(t.Context(), []gateway.Notice{joined, left, occupied, counted, published, nothing}))
	want := []string{
		`{"id":"0:1-2","event":"member_joined","time":"2026-01-01T00:00:00.123Z","node":"n1","channel":"chat","user":"alice","session":"s1","info":{"a":1},"sessions":3}`,
		`{"id":"disconnect 1","event":"disconnect","time":"2026-01-01T00:00:00.123Z","node":"n1","user":"alice","session":"1","code":4002,"reason":"token_expired","text":"the token has expired"}`,
		`{"id":"0:1-3","event":"channel_vacated","time":"2026-01-01T00:00:00.123Z","node":"n1","channel":"chat","sessions":0}`,
		`{"id":"0:1-4","event":"sessions_changed","time":"2026-01-01T00:00:00.123Z","node":"n1","channel":"chat","sessions":7}`,
		`{"id":"0:1-5","event":"message_published","time":"2026-01-01T00:00:00.123Z","node":"n1","channel":"chat","user":"alice","session":"s1","name":"client-typing","text":"hi"}`,
		`{"id":"0:1-6","event":"nothing_recent","time":"2026-01-01T00:00:00.123Z","node":"n1","channel":"chat","session":"s1"}`,
	}
	got := b.last().Events
	if len(got) != len(want) {
		t.Fatalf("the backend saw %s", got)
	}
	for i := range want {
		if string(got[i]) != want[i] {
			t.Errorf("the backend saw\n%s, want\n%s", got[i], want[i])
		}
	}
}

func TestTell_AllTravelInOneRequestInOrder(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnDisconnect))
	var list []gateway.Notice
	for i := range 500 {
		list = append(list, leaving(i))
	}
	must(t, w.Tell(t.Context(), list))
	requests := b.until("a request", func(all []request) bool { return len(all) > 0 })
	if len(requests) != 1 || len(requests[0].Events) != len(list) {
		t.Fatalf("%d requests, the first with %d notices", len(requests), len(requests[0].Events))
	}
	for i, event := range requests[0].Events {
		var told struct{ Session string }
		if err := json.Unmarshal(event, &told); err != nil || told.Session != fmt.Sprint(i) {
			t.Fatalf("notice %d is %s (%v)", i, event, err)
		}
	}
}

func TestTell_FailsUnlessTheBackendTakesThem(t *testing.T) {
	b := startBackend(t)
	w := newWebhook(t, b.config(gateway.OnDisconnect))
	for name, answer := range map[string]http.HandlerFunc{
		"500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"404":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"302":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) },
		"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		b.does(answer)
		if err := w.Tell(t.Context(), []gateway.Notice{leaving(1)}); err == nil {
			t.Errorf("%s counts as taken", name)
		}
	}
	b.does(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "thanks") })
	if err := w.Tell(t.Context(), []gateway.Notice{leaving(1)}); err != nil {
		t.Error(err)
	}
}

func TestTell_EndsWithItsContext(t *testing.T) {
	b := startBackend(t)
	release := make(chan struct{})
	defer close(release)
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	w := newWebhook(t, b.config(gateway.OnDisconnect))
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error)
	go func() { told <- w.Tell(ctx, []gateway.Notice{leaving(1)}) }()
	b.last()
	cancel()
	if err := <-told; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that it was cancelled", err)
	}
}
