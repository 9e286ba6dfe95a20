package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// town is a set of nodes that share a broker in memory.
type town struct {
	t      *testing.T
	broker *broker.Memory
	nodes  map[string]*Cluster

	mu   sync.Mutex
	mute map[string]bool // nodes that are cut off; guarded by mu
}

// silence cuts a node off: it hears nothing from now on.
func (w *town) silence(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute[node] = true
}

func (w *town) hears(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.mute[node]
}

// startTown runs nodes until the test ends, in a synctest bubble.
func startTown(t *testing.T, config func(node string) Config, names ...string) *town {
	w := &town{t: t, broker: broker.NewMemory(), nodes: make(map[string]*Cluster), mute: make(map[string]bool)}
	for _, name := range names {
		c := config(name)
		c.Broker, c.Node, c.Lease, c.Log = w.broker, name, time.Minute, slog.New(slog.DiscardHandler)
		c.Wall = &wall.Wall{Log: c.Log}
		c.Explain = func(err error) *Failure {
			if f := new(Failure); errors.As(err, &f) {
				return f
			}
			return &Failure{"internal", err.Error()}
		}
		c.LastWord = func() time.Time { return time.Now().Add(time.Minute) }
		if c.About == nil {
			c.About = func() any { return nil }
		}
		if c.Lost == nil {
			c.Lost, c.Died = func(string) {}, func() {}
		}
		w.nodes[name] = New(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.broker.Run(ctx, w) })
	members, leave := context.WithCancel(ctx)
	var parts sync.WaitGroup
	synctest.Wait()
	for _, c := range w.nodes {
		parts.Go(func() { c.Run(members) })
	}
	t.Cleanup(func() { leave(); parts.Wait(); cancel(); running.Wait() })
	time.Sleep(greetTime)
	return w
}

func (w *town) Receive(m broker.Message) {
	for name, c := range w.nodes {
		if w.hears(name) && (m.Channel == nodesChannel || m.Channel == nodeChannel(name)) {
			c.Receive(&m)
		}
	}
}

func (w *town) Gap([]string, error) {}
func (w *town) Link(error)          {}
func (w *town) Rest()               {}

func TestTell_ArrivesInOrderAndIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := make(map[string][]string)
		w := startTown(t, func(string) Config { return Config{} }, "a", "b", "c")
		for name, node := range w.nodes {
			node.Hear("count", func(from string, body json.RawMessage) error {
				heard[name] = append(heard[name], from+string(body))
				return nil
			})
		}
		var want []string
		for i := range 50 {
			want = append(want, "a"+strconv.Itoa(i))
			if err := w.nodes["a"].Tell(t.Context(), "b", "count", i); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.nodes["c"].Tell(t.Context(), "c", "count", 7); err != nil {
			t.Error(err)
		}
		if !slices.Equal(heard["b"], want) || len(heard["a"]) > 0 || !slices.Equal(heard["c"], []string{"c7"}) {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestTell_SaysWhyNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config { return Config{} }, "a", "b", "deaf")
		for _, node := range w.nodes {
			node.Hear("refuse", func(string, json.RawMessage) error { return &Failure{"forbidden", "no"} })
		}
		w.silence("deaf")
		for _, test := range []struct{ node, topic, code, text string }{
			{"b", "refuse", "forbidden", "no"},
			{"a", "refuse", "forbidden", "no"},
			{"b", "unheard of", unavailable, "another version"},
			{"nobody", "refuse", unavailable, "not alive"},
			{"deaf", "refuse", unavailable, "no answer in time"},
		} {
			err := w.nodes["a"].Tell(t.Context(), test.node, test.topic, nil)
			f := new(Failure)
			if !errors.As(err, &f) || f.Code != test.code || !strings.Contains(f.Text, test.text) {
				t.Errorf("%s to %s: %#v, want %s, %q", test.topic, test.node, err, test.code, test.text)
			}
		}
	})
}

func TestTell_NodeThatLeavesConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config { return Config{} }, "a", "deaf")
		w.silence("deaf")
		time.AfterFunc(tellPatience/2, func() { w.nodes["a"].part("deaf") })
		began := time.Now()
		err := w.nodes["a"].Tell(t.Context(), "deaf", "x", nil)
		if took := time.Since(began); err == nil || took != tellPatience/2 {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestAsk_GathersThePartsOfAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(node string) Config {
			return Config{Answers: map[string]Answerer{"parts": func(_ context.Context, body json.RawMessage, say func(any) error) error {
				return errors.Join(say(node+"1"), say(node+"2"), say(string(body)))
			}, "nothing": func(context.Context, json.RawMessage, func(any) error) error { return nil }}}
		}, "a", "b")
		got := make(map[string][]string)
		err := w.nodes["a"].AskAll(t.Context(), "parts", 5, func(body json.RawMessage) error {
			var text string
			err := json.Unmarshal(body, &text)
			got[text[:1]] = append(got[text[:1]], text)
			return err
		})
		want := map[string][]string{"a": {"a1", "a2"}, "b": {"b1", "b2"}, "5": {"5", "5"}}
		for key := range want {
			if err != nil || !slices.Equal(got[key], want[key]) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		}
		err = w.nodes["b"].AskAll(t.Context(), "nothing", nil, func(body json.RawMessage) error { t.Errorf("heard %s", body); return nil })
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAsk_TopicThatNobodyKnowsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config { return Config{} }, "a", "b")
		_, err := w.nodes["a"].Ask(t.Context(), "x", nil, ignore)
		if f := new(Failure); !errors.As(err, &f) || f.Code != unavailable {
			t.Errorf("%v, want a failure", err)
		}
	})
}

func TestOthers_SayWhatTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(node string) Config { return Config{About: func() any { return "I am " + node }} }, "a", "b")
		if got := string(w.nodes["a"].Others()["b"]); got != `"I am b"` {
			t.Errorf("b says %s", got)
		}
	})
}

func TestRun_PanicOfAnAnswererOrAnEarEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config {
			return Config{
				Answers: map[string]Answerer{"x": func(context.Context, json.RawMessage, func(any) error) error { panic("boom") }},
			}
		}, "a", "b")
		for _, node := range w.nodes {
			node.Hear("bad", func(string, json.RawMessage) error { panic("boom") })
			node.Hear("good", func(string, json.RawMessage) error { return nil })
		}
		a := w.nodes["a"]
		for _, name := range []string{"b", "b", "b", "b", "b"} { // more than there are answering goroutines
			w.nodes[name].take(question{ID: "q", From: "a", Topic: "x"})
			if err := a.Tell(t.Context(), name, "bad", nil); err == nil {
				t.Error("a word was taken whose ear has panicked")
			}
		}
		if err := a.Tell(t.Context(), "b", "good", nil); err != nil {
			t.Error(err)
		}
	})
}

// TestRun_TellsDeathFromLeaving checks that only a node that is silent for its lease has died.
func TestRun_TellsDeathFromLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan string, 10)
		w := startTown(t, func(string) Config {
			return Config{Died: func() { told <- "one died" }, Lost: func(node string) { told <- node }}
		}, "a")
		for _, payload := range []string{
			`{"hello":{"node":"silent","lease":10000}}`, `{"hello":{"node":"polite","lease":10000}}`, `{"bye":{"node":"polite"}}`,
		} {
			w.Receive(broker.Message{Channel: nodesChannel, Payload: []byte(payload)})
		}
		time.Sleep(time.Minute)
		for _, want := range []string{"polite", "one died", "silent"} {
			if got := <-told; got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		if len(told) > 0 {
			t.Errorf("told also %q", <-told)
		}
	})
}

// What clients can have nodes ask each other, as much of it as there can be, delays
// no ban: neither in the queue nor behind it.
func TestAsk_NothingWaitsForWhatClientsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		w := startTown(t, func(string) Config {
			return Config{ByClients: []string{"find"}, Answers: map[string]Answerer{
				"find": func(ctx context.Context, _ json.RawMessage, _ func(any) error) error {
					asked.Add(1)
					<-ctx.Done()
					return ctx.Err()
				},
				"ban": func(_ context.Context, _ json.RawMessage, say func(any) error) error { return say("done") },
			}}
		}, "a", "b", "c")
		ctx, end := context.WithCancel(t.Context())
		var finding sync.WaitGroup
		for _, from := range []string{"a", "c"} {
			for range questionsMost * 3 / 4 {
				finding.Go(func() { _, _ = w.nodes[from].Ask(ctx, "find", nil, ignore) })
			}
		}
		synctest.Wait()
		if asked.Load() == 0 {
			t.Error("nobody was asked")
		}
		var answers int
		began := time.Now()
		err := w.nodes["a"].AskAll(t.Context(), "ban", nil, func(json.RawMessage) error { answers++; return nil })
		if err != nil || answers != 3 || time.Since(began) > 0 {
			t.Errorf("%d answers after %v, %v; want 3 at once", answers, time.Since(began), err)
		}
		end()
		finding.Wait()
	})
}
