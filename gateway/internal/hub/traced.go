package hub

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
)

// following is the messages that this node follows. While there are none, a message
// costs one look at a nil pointer. All methods may be called concurrently.
type following struct{ all atomic.Pointer[[]*traced] }

// MostTraced is how many messages may be followed at a time.
const MostTraced = 16

const traceLife = 30 * time.Second // after which a node follows no more, whatever it was told

// Report is what became of a message that is followed.
type Report struct {
	Heard  int       // how often it came
	First  time.Time // when
	Copies []Copy    // one for each session that it was for
}

// Copy is the message on its way to one session.
type Copy struct {
	By   Subscriber
	User string // whom the session acted as
	Fate Fate
}

// Fate is what becomes of a message for a session.
type Fate uint8

const (
	Waiting   Fate = iota // it is not known yet
	Written               // the connection has taken it
	Conflated             // a newer one has taken its place
	Skipped               // it is not for the session
	Unsaid                // the protocol has no way to say it
	Ended                 // the session ended before it was written to
)

func (f *following) remove(mark string) {
	f.change(func(all []*traced) []*traced {
		return slices.DeleteFunc(all, func(t *traced) bool { return t.mark == mark })
	})
}

// change replaces the list, unless it would be too long.
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

// traced is a message that is followed on this node.
type traced struct {
	// Fixed at birth.
	channel string
	mark    string
	sum     string // of its payload, by which it is known where it travels bare

	// Guarded by mu.
	mu     lock.Mutex[lock.Traced]
	heard  int
	first  time.Time
	copies []*traceCopy
}

// traceCopy is a Copy, and what was last seen of it.
type traceCopy struct {
	Copy
	out    *outbox.Outbox
	frame  []byte
	before outbox.Whereabouts // while it waited
	taken  bool
}

// SumOf returns what stands for a payload.
func SumOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return string(sum[:])
}

// hear notes that the message has come, and reports whether it is the first time.
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

// look finds out where the copy is. What is gone without a writer's turn has been
// replaced or thrown away; what a writer has taken is written when it says so, or
// takes more.
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
