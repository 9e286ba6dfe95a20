package hub

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
)

// following is the list of messages that this node follows. While it is empty, each message
// costs only one check of a nil pointer. It is safe for concurrent use.
type following struct{ all atomic.Pointer[[]*traced] }

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

func (f *following) remove(mark string) {
	f.change(func(all []*traced) []*traced {
		return slices.DeleteFunc(all, func(t *traced) bool { return t.mark == mark })
	})
}

// change replaces the list by the result of edit. It returns false and changes nothing if
// the list would be longer than MostTraced.
func (f *following) change(edit func([]*traced) []*traced) bool {
	for {
		before := f.all.Load()
		var list []*traced
		if before != nil {
			list = slices.Clone(*before)
		}
		after := &list
		if *after = edit(list); len(*after) > MostTraced {
			return false
		}
		if len(*after) == 0 {
			after = nil
		}
		if f.all.CompareAndSwap(before, after) {
			return true
		}
	}
}

func (f *following) first(is func(*traced) bool) *traced {
	all := f.all.Load()
	if all == nil {
		return nil
	}
	if i := slices.IndexFunc(*all, is); i >= 0 {
		return (*all)[i]
	}
	return nil
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
