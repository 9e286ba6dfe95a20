package hub

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
)

// following are the messages that this node follows. While there are none, each message costs
// only one look at their number. It is safe for concurrent use.
type following struct {
	number atomic.Int32
	byMark sync.Map // of *traced
}

// MostTraced is how many messages may be followed at once.
const MostTraced = 16

const traceLife = 30 * time.Second // then following ends, even without EndTrace

// Report is what has become of a followed message.
type Report struct {
	Heard  int       // how often it was received
	First  time.Time // when it was received first
	Copies []Copy    // one for each session in the audience
}

// Copy is what became of a followed message for one session.
type Copy struct {
	By   Subscriber
	User string // the user that the session acted as
	Fate Fate
}

// Fate is the state of one Copy.
type Fate string

const (
	Waiting   Fate = "waiting"   // not known yet
	Written   Fate = "written"   // the connection has taken it
	Conflated Fate = "conflated" // a newer message has replaced it
	Skipped   Fate = "skipped"   // the session must not receive it
	Unsaid    Fate = "unsaid"    // the protocol cannot express it
	Ended     Fate = "ended"     // the session ended before it was written to
)

// add adds a message unless there are MostTraced already, and reports whether it did.
func (f *following) add(t *traced) bool {
	if f.number.Add(1) > MostTraced {
		f.number.Add(-1)
		return false
	}
	if _, there := f.byMark.Swap(t.mark, t); there {
		f.number.Add(-1)
	}
	return true
}

func (f *following) remove(mark string) {
	if _, there := f.byMark.LoadAndDelete(mark); there {
		f.number.Add(-1)
	}
}

// all yields all messages. The caller first checks that there are some, since a call may allocate.
func (f *following) all(yield func(*traced) bool) {
	f.byMark.Range(func(_, t any) bool { return yield(t.(*traced)) })
}

// traced is a message that this node follows.
type traced struct {
	// Fixed at birth.
	channel string
	mark    string
	sum     string // SumOf its payload, which identifies it on a channel without envelopes

	// Guarded by mu.
	mu     lock.Mutex[lock.Traced]
	heard  int
	first  time.Time
	copies []*traceCopy
}

// traceCopy is a Copy, and the state of its frame when last seen.
type traceCopy struct {
	Copy
	out    *outbox.Outbox
	frame  []byte
	before outbox.Whereabouts // last seen while it was waiting
	taken  bool
}

// SumOf returns a hash of a payload, as raw bytes.
func SumOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return string(sum[:])
}

// hear records that the message was received, and reports whether this is the first time.
func (t *traced) hear() (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard++; t.heard > 1 {
		return false
	}
	t.first = time.Now()
	return true
}

func (t *traced) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookAt()
}

func (t *traced) lookAt() {
	for _, c := range t.copies {
		if c.Fate == Waiting {
			c.look()
		}
	}
}

// look updates the copy's Fate. A frame that has gone without a writer's turn was replaced
// or dropped. A frame that a writer has taken counts as written when the writer has finished
// or begins its next turn.
func (c *traceCopy) look() {
	now := c.out.Locate(c.frame)
	open := c.out.Open()
	switch {
	case now.Waits:
		c.before = now
	case !c.taken && now.Turns == c.before.Turns && open:
		c.Fate = Conflated
	case !c.taken && now.Turns == c.before.Turns:
		c.Fate = Ended
	case !now.Busy || c.taken && now.Turns != c.before.Turns:
		c.Fate = Written
	case !open:
		c.Fate = Ended
	default:
		c.taken, c.before = true, now
	}
}

func (t *traced) report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookAt()
	r := Report{Heard: t.heard, First: t.first, Copies: make([]Copy, len(t.copies))}
	for i, c := range t.copies {
		r.Copies[i] = c.Copy
	}
	return r
}
