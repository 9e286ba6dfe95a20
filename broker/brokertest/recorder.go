package brokertest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
)

// Patience is how long a test waits for what must happen.
const Patience = 60 * time.Second

// Recorder is a Receiver that keeps what it is told, and fails its test when
// calls for one channel overlap. All methods may be called concurrently.
type Recorder struct {
	t testing.TB

	// Guarded by mu.
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when something is told
	messages map[string][]broker.Message
	gaps     []string
	link     error
	links    int
	busy     map[string]bool
	restless bool // no Rest has come since something was received, or Unrest
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

// Messages returns what was received on a channel so far.
func (r *Recorder) Messages(channel string) []broker.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages[channel])
}

// WaitMessages waits until n messages were received on a channel.
func (r *Recorder) WaitMessages(channel string, n int) []broker.Message {
	r.t.Helper()
	r.wait("messages on "+channel, func() bool { return len(r.messages[channel]) >= n })
	return r.Messages(channel)
}

// Unrest forgets that there was a Rest.
func (r *Recorder) Unrest() { r.tell(func() { r.restless = true }) }

// WaitRested waits until a Rest has come after all that was received.
func (r *Recorder) WaitRested() {
	r.t.Helper()
	r.wait("a rest", func() bool { return !r.restless })
}

// Hears reports whether n messages are received on a channel before long.
func (r *Recorder) Hears(channel string, n int, before time.Duration) bool {
	return r.await(before, func() bool { return len(r.messages[channel]) >= n })
}

// Gaps returns the channels that a gap was told for so far, sorted.
func (r *Recorder) Gaps() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.gaps))
}

// WaitGaps waits until n channels were told a gap, and returns them sorted.
func (r *Recorder) WaitGaps(n int) []string {
	r.t.Helper()
	r.wait("gaps", func() bool { return len(r.gaps) >= n })
	return r.Gaps()
}

// WaitUp waits until the link can be used.
func (r *Recorder) WaitUp() {
	r.t.Helper()
	r.wait("the link to come up", func() bool { return r.links > 0 && r.link == nil })
}

// WaitDown waits until the link cannot be used, and returns why.
func (r *Recorder) WaitDown() error {
	r.t.Helper()
	r.wait("the link to go down", func() bool { return r.link != nil })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link
}

// Links returns how often the link was said to be up or down.
func (r *Recorder) Links() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.links
}

// Told returns how many calls there were in all.
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

// await reports whether holds in time. It calls it with mu locked.
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

// Eventually waits until holds.
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
