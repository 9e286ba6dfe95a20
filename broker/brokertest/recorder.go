package brokertest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
)

// Patience is how long tests wait for an expected event before they fail.
const Patience = 60 * time.Second

// Recorder is a Receiver that records all calls. It fails its test if calls for the same
// channel overlap. It is safe for concurrent use.
type Recorder struct {
	t testing.TB

	// Guarded by mu.
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced by each call
	messages map[string][]broker.Message
	gaps     []string
	link     error
	links    int
	busy     map[string]bool
	restless bool // there was no Rest since the last message or Unrest
}

var _ broker.Receiver = (*Recorder)(nil)

// NewRecorder returns a Recorder for t.
func NewRecorder(t testing.TB) *Recorder {
	return &Recorder{
		t:        t,
		changed:  make(chan struct{}),
		messages: make(map[string][]broker.Message),
		busy:     make(map[string]bool),
	}
}

func (r *Recorder) Receive(m broker.Message) {
	r.enter(m.Channel)
	r.tell(func() {
		r.messages[m.Channel] = append(r.messages[m.Channel], m)
		r.restless = true
		delete(r.busy, m.Channel)
	})
}

func (r *Recorder) Gap(channels []string, err error) {
	if err == nil {
		r.t.Error("Gap without a reason")
	}
	for _, channel := range channels {
		r.enter(channel)
	}
	r.tell(func() {
		r.gaps = append(r.gaps, channels...)
		for _, channel := range channels {
			delete(r.busy, channel)
		}
	})
}

func (r *Recorder) Link(err error) {
	r.tell(func() {
		r.link = err
		r.links++
	})
}

func (r *Recorder) Rest() { r.tell(func() { r.restless = false }) }

// Messages returns the messages received on a channel so far.
func (r *Recorder) Messages(channel string) []broker.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages[channel])
}

// WaitMessages waits until n messages have been received on a channel, and returns all.
func (r *Recorder) WaitMessages(channel string, n int) []broker.Message {
	r.t.Helper()
	r.wait("messages on "+channel, func() bool { return len(r.messages[channel]) >= n })
	return r.Messages(channel)
}

// Unrest makes WaitRested wait for another Rest.
func (r *Recorder) Unrest() { r.tell(func() { r.restless = true }) }

// WaitRested waits for a Rest after the last message or Unrest.
func (r *Recorder) WaitRested() {
	r.t.Helper()
	r.wait("a rest", func() bool { return !r.restless })
}

// Hears reports whether n messages have been received on a channel, and waits for them for up
// to the duration before.
func (r *Recorder) Hears(channel string, n int, before time.Duration) bool {
	return r.await(before, func() bool { return len(r.messages[channel]) >= n })
}

// Gaps returns the channels of all gaps so far, sorted.
func (r *Recorder) Gaps() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.gaps))
}

// WaitGaps waits for gaps of n channels and returns the channels, sorted.
func (r *Recorder) WaitGaps(n int) []string {
	r.t.Helper()
	r.wait("gaps", func() bool { return len(r.gaps) >= n })
	return r.Gaps()
}

// WaitUp waits until the link is up.
func (r *Recorder) WaitUp() {
	r.t.Helper()
	r.wait("the link to come up", func() bool { return r.links > 0 && r.link == nil })
}

// WaitDown waits until the link is down, and returns the reason.
func (r *Recorder) WaitDown() error {
	r.t.Helper()
	r.wait("the link to go down", func() bool { return r.link != nil })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link
}

// Links returns the number of calls of Link.
func (r *Recorder) Links() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.links
}

// Told returns the number of messages, gaps and calls of Link.
func (r *Recorder) Told() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.links + len(r.gaps)
	for _, messages := range r.messages {
		n += len(messages)
	}
	return n
}

func (r *Recorder) enter(channel string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[channel] {
		r.t.Errorf("calls for channel %q overlap", channel)
	}
	r.busy[channel] = true
}

func (r *Recorder) tell(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Recorder) wait(what string, holds func() bool) {
	r.t.Helper()
	if !r.await(Patience, holds) {
		r.t.Fatalf("waited %v for %s", Patience, what)
	}
}

// await waits until holds returns true, and reports whether it did in time. It calls holds
// with mu held.
func (r *Recorder) await(before time.Duration, holds func() bool) bool {
	deadline := time.After(before)
	for {
		r.mu.Lock()
		done, changed := holds(), r.changed
		r.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-deadline:
			return false
		}
	}
}

// Eventually waits until holds returns true. It fails the test after Patience, with what in
// the message.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", Patience, what)
		}
	}
}
