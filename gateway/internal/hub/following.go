package hub

import (
	"time"

	"tidegate/broker"
)

// Trace follows a message of a channel, for some time at most, by its mark, which stands
// for its session, or, where messages travel bare, by the SumOf its payload. ok is false if
// as many are followed as can be.
func (h *Hub) Trace(channel, mark, sum string) (ok bool) {
	f := &h.following
	t := &traced{channel: channel, mark: mark, sum: sum}
	if !f.change(func(all []*traced) []*traced { return append(all, t) }) {
		return false
	}
	time.AfterFunc(traceLife, func() { f.remove(mark) })
	return true
}

// EndTrace follows a message no more.
func (h *Hub) EndTrace(mark string) { h.following.remove(mark) }

// Traced returns what has become of a message that is followed; the zero Report: it is not,
// or has not come.
func (h *Hub) Traced(mark string) Report {
	t := h.following.first(func(t *traced) bool { return t.mark == mark })
	if t == nil {
		return Report{}
	}
	return t.report()
}

// begin returns how a message is followed that goes to the audience of ch now; nil: it
// is not, or it has come before. The caller holds ch.mu.
func (f *following) begin(ch *Channel, m *broker.Message) *traced {
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
func (f *following) look(ch *Channel) {
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

func (t *traced) is(ch *Channel, m *broker.Message) bool {
	if t.channel != ch.name {
		return false
	}
	return m.Session == t.mark || ch.rule.Load().Bare && SumOf(m.Payload) == t.sum
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
		c := &traceCopy{Copy: Copy{By: to.of.by, User: to.of.by.Who().User}, out: to.out, frame: frame}
		switch {
		case to.of.skips(m):
			c.Fate = Skipped
		case frame == nil:
			c.Fate = Unsaid
		default:
			c.before = to.out.Locate(frame)
		}
		t.copies = append(t.copies, c)
	}
}
