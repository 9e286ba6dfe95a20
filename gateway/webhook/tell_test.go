package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

func leaving(session int) gateway.Notice {
	return gateway.Notice{
		Event: gateway.OnDisconnect, Time: time.Now(), Node: "n1", Session: fmt.Sprint(session), User: "alice",
		Reason: gateway.TokenExpired,
	}
}

// taken returns the sessions of the notices in order.
func taken(requests []request) (sessions []string) {
	for _, r := range requests {
		for _, e := range r.Events {
			sessions = append(sessions, e.Session)
		}
	}
	return sessions
}

func TestTell_ArrivesOnceAndSaysWhatHappened(t *testing.T) {
	b := startBackend(t)
	w, _ := start(t, b.config(gateway.OnDisconnect))
	confirmed := make(chan struct{})
	if !w.Tell(leaving(1), func() { close(confirmed) }) {
		t.Fatal("no room")
	}
	select {
	case <-confirmed:
	case <-time.After(patience):
		t.Fatal("the notice was not confirmed")
	}
	got := b.last()
	if len(got.Events) != 1 {
		t.Fatalf("the backend saw %+v", got)
	}
	e := got.Events[0]
	want := told{Event: "disconnect", Node: "n1", User: "alice", Session: "1", Reason: "token_expired", Code: 4002, Time: e.Time}
	if e != want || time.Since(e.Time) > time.Minute {
		t.Errorf("the backend saw %+v, want %+v", e, want)
	}
}

// While a request is under way, what comes waits for the next one.
func TestTell_TravelsInBatchesInOrder(t *testing.T) {
	b := startBackend(t)
	release := make(chan struct{})
	b.does(func(w http.ResponseWriter, _ *http.Request) { <-release })
	w, _ := start(t, b.config(gateway.OnDisconnect))
	w.Tell(leaving(0), nil)
	b.last()
	const n = 1200
	for i := 1; i < n; i++ {
		w.Tell(leaving(i), nil)
	}
	close(release)
	requests := b.until("all notices", func(all []request) bool { return len(taken(all)) == n })
	if len(requests) != 4 {
		t.Errorf("%d requests, want the first and 3 of at most 500 notices", len(requests))
	}
	for i, session := range taken(requests) {
		if session != fmt.Sprint(i) {
			t.Fatalf("notice %d is of session %s", i, session)
		}
	}
}

func TestTell_IsSentAgainUntilTheBackendTakesIt(t *testing.T) {
	b := startBackend(t)
	answers := []int{500, 404, 302, 100}
	var attempt atomic.Int32
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		i := int(attempt.Add(1)) - 1
		switch {
		case i < 3:
			w.WriteHeader(answers[i])
		case i == 3:
			panic(http.ErrAbortHandler) // cut off
		default:
			io.WriteString(w, "thanks")
		}
	})
	w, _ := start(t, b.config(gateway.OnDisconnect))
	var confirmed atomic.Int32
	done := make(chan struct{})
	w.Tell(leaving(1), func() { confirmed.Add(1); close(done) })
	<-done
	if got := attempt.Load(); got != 5 {
		t.Errorf("%d attempts, want 5", got)
	}
	if got := confirmed.Load(); got != 1 {
		t.Errorf("confirmed %d times, want once", got)
	}
}

// A backend that is away for a while hears of everything afterwards.
func TestTell_NothingIsLostWhileTheBackendIsAway(t *testing.T) {
	b := startBackend(t)
	b.answers(http.StatusServiceUnavailable, "")
	w, stop := start(t, b.config(gateway.OnDisconnect))
	const n = 2000
	var confirmed sync.WaitGroup
	for i := range n {
		confirmed.Add(1)
		if !w.Tell(leaving(i), confirmed.Done) {
			t.Fatal("no room")
		}
	}
	b.until("three attempts", func(all []request) bool { return len(all) >= 3 })
	var mu sync.Mutex
	heard := make(map[string]bool)
	before := len(b.until("", func([]request) bool { return true }))
	b.answers(http.StatusOK, "")
	confirmed.Wait()
	stop()
	mu.Lock()
	defer mu.Unlock()
	for _, session := range taken(b.until("", func([]request) bool { return true })[before:]) {
		heard[session] = true
	}
	if len(heard) != n {
		t.Errorf("%d of %d notices arrived", len(heard), n)
	}
}

// What waits when the node ends is delivered before Run returns.
func TestTell_TheLastNoticesArriveBeforeTheEnd(t *testing.T) {
	b := startBackend(t)
	release := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	w, stop := start(t, b.config(gateway.OnDisconnect))
	w.Tell(leaving(0), nil)
	b.last()
	for i := range 700 {
		w.Tell(leaving(1+i), nil)
	}
	b.answers(http.StatusNoContent, "")
	close(release)
	stop()
	heard := make(map[string]bool)
	for _, session := range taken(b.until("", func([]request) bool { return true })) {
		heard[session] = true
	}
	if len(heard) != 701 {
		t.Errorf("%d of 701 notices arrived", len(heard))
	}
}

func TestTell_TheQueueIsBounded(t *testing.T) {
	b := startBackend(t)
	w, err := webhook.New(b.config(gateway.OnDisconnect)) // nobody delivers
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for n <= 200_000 && w.Tell(leaving(n), nil) {
		n++
	}
	if n != 100_000 {
		t.Errorf("%d notices found room, want 100000", n)
	}
}
