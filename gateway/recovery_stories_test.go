package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"

	"pgregory.net/rapid"
)

// step is one thing that happens in a random story.
type step struct {
	what string
	who  int
}

func (s step) String() string { return fmt.Sprintf("%s(%d)", s.what, s.who) }

// TestRecovery_EveryLogEqualsTheStream runs random stories of publishes, losses, cuts,
// repetitions, stalls, disconnects and resumes. At the end every client's log must be the
// stream from the place where it first subscribed.
func TestRecovery_EveryLogEqualsTheStream(t *testing.T) {
	steps := []string{"publish", "publish", "publish", "burst", "lose", "find", "heal", "repeat", "once", "away", "back",
		"stall", "read", "leave", "resume", "arrive", "wait", "gap"}
	rapid.Check(t, func(rt *rapid.T) {
		story := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(steps).Draw(rt, "what"), rapid.IntRange(0, 2).Draw(rt, "who")}
		}), 1, 60).Draw(rt, "story")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = tellStory(t, story) })
		if wrong != "" {
			rt.Fatalf("after %v: %s", story, wrong)
		}
	})
}

// reader is a client that resumes where it was.
type reader struct {
	peer   *peer
	resume func()
	log    []string // of earlier connections
	from   int      // index of the first message that it is to receive
	cursor string
	on     bool
}

func tellStory(t *testing.T, story []step) string {
	n, l := startLossy(t, 100000, gateway.Limits{})
	var stream []string
	readers := make([]*reader, 3)
	publish := func(times int) {
		for range times {
			text := fmt.Sprint(len(stream))
			n.publish("kept:a", "%s", text)
			stream = append(stream, text)
		}
	}
	publish(1)
	heal := func() { l.losing.Store(false); l.away.Store(false); l.repeating.Store(false) }
	for _, s := range story {
		r := readers[s.who]
		switch s.what {
		case "publish":
			publish(1)
		case "burst":
			publish(20)
		case "lose":
			l.losing.Store(true)
		case "find":
			l.losing.Store(false)
		case "heal":
			heal()
			l.Gap([]string{"kept:a"}, errCut)
		case "gap":
			l.Gap([]string{"kept:a"}, errCut)
		case "repeat":
			l.repeating.Store(true)
		case "once":
			l.repeating.Store(false)
		case "away":
			l.away.Store(true)
		case "back":
			l.away.Store(false)
		case "wait":
			time.Sleep(3 * time.Second)
		case "arrive":
			if r == nil {
				l.away.Store(false)
				readers[s.who] = arrive(n, stream)
			}
		case "stall":
			if r != nil && r.on && r.resume == nil {
				r.resume = r.peer.stall()
			}
		case "read":
			r.read()
		case "leave":
			r.leave()
		case "resume":
			if r != nil && !r.on {
				l.away.Store(false)
				r.connect(n)
			}
		}
	}
	heal()
	for i := range readers {
		if readers[i] == nil {
			readers[i] = arrive(n, stream)
		}
		readers[i].read()
		if !readers[i].on {
			readers[i].connect(n)
		}
	}
	publish(1)
	time.Sleep(30 * time.Second)
	synctest.Wait()
	for i, r := range readers {
		r.leave()
		if want := stream[r.from:]; !slices.Equal(r.log, want) {
			return fmt.Sprintf("reader %d heard %v, want %v", i, r.log, want)
		}
	}
	return ""
}

// arrive connects a client that wants everything from the beginning of the stream, or, if it
// subscribes without a cursor, only what is new. The position in the reply decides where that
// begins.
func arrive(n *node, stream []string) *reader {
	r := &reader{}
	page, err := n.ReadHistory(context.Background(), &backend, gateway.History{Channel: "kept:a"})
	must(n.t, err)
	r.from = len(stream)
	r.cursor = page.Cursor()
	r.connect(n)
	return r
}

// connect subscribes from the reader's position, and retries while the broker is unavailable.
func (r *reader) connect(n *node) {
	r.peer = n.connect(gateway.Hello{})
	r.on = true
	for answers := 1; ; answers++ {
		r.peer.send("sub kept:a %s", r.cursor)
		r.peer.until("an answer", func() bool {
			return count(r.peer.lines(), "subscribed kept:a recovered=true")+count(r.peer.lines(), "error unavailable") == answers
		})
		if count(r.peer.lines(), "subscribed kept:a recovered=true") == 1 {
			return
		}
	}
}

func (r *reader) read() {
	if r != nil && r.resume != nil {
		r.resume()
		r.resume = nil
	}
}

// leave closes the connection and logs what it has received.
func (r *reader) leave() {
	if r == nil || !r.on {
		return
	}
	r.peer.Close(gateway.Lost, nil)
	r.on = false
	for _, line := range r.peer.lines() {
		word := strings.Fields(line)
		if len(word) == 4 && word[0] == "message" {
			r.log = append(r.log, word[2])
			r.cursor = word[3]
		}
	}
	if r.resume != nil { // what was still waiting has not arrived
		r.resume()
		r.resume = nil
	}
}
