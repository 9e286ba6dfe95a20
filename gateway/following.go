package gateway

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
)

// following is the messages that this node follows. While there are none, a message
// costs one look at a nil pointer. All methods may be called concurrently.
type following struct{ all atomic.Pointer[[]*traced] }

// mostFollowed is how many messages may be followed at a time.
const mostFollowed = 16

// add follows the message that e tells of, for some time at most.
func (f *following) add(e errand) error {
	t := &traced{channel: e.Channel, mark: e.Mark, sum: string(e.Payload)}
	if !f.change(func(all []*traced) []*traced { return append(all, t) }) {
		return failf(LimitExceeded, "%d messages are being traced, as many as can be: try again", mostFollowed)
	}
	time.AfterFunc(traceLife, func() { f.remove(e.Mark) })
	return nil
}

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
		if *after = edit(list); len(*after) > mostFollowed {
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

// find returns the message with a mark; nil: it is not followed.
func (f *following) find(mark string) *traced {
	return f.first(func(t *traced) bool { return t.mark == mark })
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

// begin returns how a message is followed that goes to the audience of ch now; nil: it
// is not, or it has come before. The caller holds ch.mu.
func (f *following) begin(ch *channel, m *broker.Message) *traced {
	if f.all.Load() == nil {
		return nil
	}
	t := f.first(func(t *traced) bool { return t.is(ch, m) })
	if t == nil || !t.hear() {
		return nil
	}
	return t
}

// look notes how far the followed messages of ch have come, before a newer one can
// take their place. The caller holds ch.mu.
func (f *following) look(ch *channel) {
	all := f.all.Load()
	if all == nil {
		return
	}
	for _, t := range *all {
		if t.channel == ch.name {
			t.look()
		}
	}
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

// traceCopy is the message on its way to one session.
type traceCopy struct {
	session *Session
	user    string
	frame   []byte
	fate    Fate               // FateWaiting until it is known
	before  outbox.Whereabouts // while it waited
	taken   bool
}

func (t *traced) is(ch *channel, m *broker.Message) bool {
	if t.channel != ch.name {
		return false
	}
	return m.Session == t.mark || ch.rule.Load().Bare && sumOf(m.Payload) == t.sum
}

func sumOf(payload []byte) string {
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

// expect notes for whom a frame is, before it is queued. A nil frame is one that the
// protocol does not say. For a nil t it does nothing.
func (t *traced) expect(a *audience, m *broker.Message, frame []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, to := range a.members {
		c := &traceCopy{session: to.session, user: to.of.who().User, frame: frame, fate: FateWaiting}
		switch {
		case to.of.skips(m):
			c.fate = FateSkipped
		case frame == nil:
			c.fate = FateUnsaid
		default:
			c.before = to.session.out.Locate(frame)
		}
		t.copies = append(t.copies, c)
	}
}

func (t *traced) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookAt()
}

func (t *traced) lookAt() {
	for _, c := range t.copies {
		if c.fate == FateWaiting {
			c.look()
		}
	}
}

// look finds out where the copy is. What is gone without a writer's turn has been
// replaced or thrown away; what a writer has taken is written when it says so, or
// takes more.
func (c *traceCopy) look() {
	now := c.session.out.Locate(c.frame)
	open := c.session.out.Open()
	switch {
	case now.Waits:
		c.before = now
	case !c.taken && now.Turns == c.before.Turns && open:
		c.fate = FateConflated
	case !c.taken && now.Turns == c.before.Turns:
		c.fate = FateEnded
	case !now.Busy || c.taken && now.Turns != c.before.Turns:
		c.fate = FateWritten
	case !open:
		c.fate = FateEnded
	default:
		c.taken, c.before = true, now
	}
}

// mostTold is how many sessions are told of that were not asked about.
const mostTold = 20

// report adds what is known to n, and to told the sessions that it names.
func (t *traced) report(n *NodeTrace, user string, told map[*Session]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lookAt()
	n.Heard, n.First = t.heard, t.first
	others := 0
	for _, c := range t.copies {
		n.count(c.fate)
		asked := user != "" && c.user == user
		if !asked && (c.fate == FateWritten || others == mostTold) {
			continue
		}
		if !asked {
			others++
		}
		told[c.session] = true
		n.Sessions = append(n.Sessions, c.trace())
	}
}

func (n *NodeTrace) count(f Fate) {
	switch f {
	case FateWritten:
		n.Written++
	case FateWaiting:
		n.Waiting++
	case FateConflated:
		n.Conflated++
	case FateSkipped:
		n.Skipped++
	case FateUnsaid:
		n.Unsaid++
	case FateEnded:
		n.Ended++
	}
}

func (c *traceCopy) trace() SessionTrace {
	s := SessionTrace{Session: c.session.id, User: c.user, Protocol: c.session.dialect.protocol.Name(), Fate: c.fate}
	if why := c.session.out.Why(); c.fate == FateEnded && why != nil {
		s.Why = why.Error()
	}
	return s
}
