package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"tidegate/broker"
)

func ignore(json.RawMessage) error { return nil }

// oneTooMany begins things of the given size that do not end, until there is no room, and
// returns how many fit. The refusal must not depend on another node.
func oneTooMany(t *testing.T, begin func(body string) error, bytes int) (number int) {
	t.Helper()
	body := strings.Repeat("x", bytes-len(`""`))
	results := make(chan error)
	for ; number < 2*toldMost; number++ {
		go func() { results <- begin(body) }()
		synctest.Wait() // what has room waits for an answer that never comes
		select {
		case err := <-results:
			if f := new(Failure); !errors.As(err, &f) || f.Code != unavailable || !strings.Contains(f.Text, "as much as it can") {
				t.Errorf("number %d: %v", number, err)
			}
			for range number {
				<-results
			}
			return number
		default:
		}
	}
	t.Fatalf("%d are under way, and nothing bounds them", number)
	return 0
}

func TestRoom_WhatANodeAsksAndTellsIsBounded(t *testing.T) {
	for _, test := range []struct {
		what            string
		most, mostBytes int
		begin           func(ctx context.Context, c *Cluster, body string) error
	}{
		{"questions", askedMost, askedBytes, func(ctx context.Context, c *Cluster, body string) error {
			return c.AskAll(ctx, "x", body, ignore)
		}},
		{"words", toldMost, toldBytes, func(ctx context.Context, c *Cluster, body string) error {
			return c.Tell(ctx, "deaf", "x", body)
		}},
	} {
		for bytes, want := range map[int]int{2: test.most, test.mostBytes / 4: 4} {
			t.Run(fmt.Sprint(test.what, " of ", bytes, " bytes"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := startTown(t, func(string) Config { return Config{} }, "a", "deaf")
					w.silence("deaf")
					for range 2 { // finished calls give their room back
						begin := func(body string) error { return test.begin(t.Context(), w.nodes["a"], body) }
						if got := oneTooMany(t, begin, bytes); got != want {
							t.Errorf("%d under way, want %d", got, want)
						}
					}
				})
			})
		}
	}
}

func TestRoom_WhatANodeIsAskedIsBounded(t *testing.T) {
	for bytes, want := range map[int]int{2: questionsMost, questionBytes / 4: 4} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestCluster(func(string) {})
			q := question{From: "other", Body: json.RawMessage(strings.Repeat("1", bytes))}
			for range want + 10 {
				c.take(q)
			}
			if got := len(c.asking.others.waiting); got != want {
				t.Errorf("%d questions of %d bytes wait, want %d", got, bytes, want)
			}
		})
	}
}

func TestRoom_WhatIsReceivedIsBounded(t *testing.T) {
	for bytes, want := range map[int]int{2: inboxMost, inboxBytes / 4: 4, inboxBytes + 1: 0} {
		c := newTestCluster(func(string) {})
		m := &broker.Message{Payload: make([]byte, bytes)}
		for range want + 10 {
			c.Receive(m)
		}
		if got := len(c.inbox.waiting); got != want {
			t.Errorf("%d messages of %d bytes wait, want %d", got, bytes, want)
		}
	}
}

// TestRoom_IsGivenBack tells and asks a node far more than it holds at a time.
func TestRoom_IsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config {
			return Config{Answers: map[string]Answerer{"x": func(_ context.Context, _ json.RawMessage, say func(any) error) error { return say(1) }}}
		}, "a", "b")
		body := strings.Repeat("x", questionBytes/4)
		for range inboxBytes / len(body) * 2 {
			answers := 0
			err := w.nodes["a"].AskAll(t.Context(), "x", body, func(json.RawMessage) error { answers++; return nil })
			if err != nil || answers != 2 {
				t.Fatalf("%d answers, %v", answers, err)
			}
		}
	})
}

func TestRoom_NodesThatAreKnownAreBounded(t *testing.T) {
	c := newTestCluster(func(string) {})
	for i := range mostNodes + 10 {
		c.meet(hello{Node: fmt.Sprint(i), LeaseMS: 30_000})
	}
	c.meet(hello{Node: "0", LeaseMS: 30_000, About: json.RawMessage(`"known"`)})
	if got := len(c.Alive()); got != mostNodes+1 {
		t.Errorf("%d nodes are known, want %d and this one", got, mostNodes)
	}
	if got := string(c.Others()["0"]); got != `"known"` {
		t.Errorf("who is known is not heard any more: %q", got)
	}
	c.part("1")
	c.meet(hello{Node: strings.Repeat("n", nodeBytes), LeaseMS: 30_000, About: json.RawMessage(`"long"`)})
	if got := len(c.Alive()); got != mostNodes {
		t.Error("a node is known that says too much of itself")
	}
}

func TestAsk_EndsWhenNoMoreCanBeAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTown(t, func(string) Config {
			return Config{Answers: map[string]Answerer{"x": func(_ context.Context, _ json.RawMessage, say func(any) error) error {
				return errors.Join(say(1), say(2), say(3))
			}}}
		}, "a", "b")
		full, added := errors.New("full"), 0
		err := w.nodes["a"].AskAll(t.Context(), "x", nil, func(json.RawMessage) error {
			if added++; added == 2 {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) || added != 2 {
			t.Errorf("%d parts, %v", added, err)
		}
	})
}

// Whoever may publish in Redis could otherwise fill the log.
func TestCluster_LogsWhatOthersCauseOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	c := New(Config{Node: "a", Log: slog.New(slog.NewTextHandler(&log, nil)), ByClients: []string{"find"}})
	for range 2 * inboxMost {
		c.read([]byte("garbage"))
		c.take(question{From: "b", Topic: "find"})
		c.Receive(&broker.Message{Payload: []byte("garbage")})
	}
	if lines := strings.Count(log.String(), "\n"); lines != 3 {
		t.Errorf("%d lines, want one of each kind:\n%.1000s", lines, log.String())
	}
}
