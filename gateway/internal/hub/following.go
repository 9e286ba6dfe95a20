package hub

import (
	"time"

	"tidegate/broker"
)

// Trace starts to follow a message of a channel, for at most traceLife. The message is
// identified by mark, which it carries as its session, or, on a channel without envelopes,
// by sum, the SumOf its payload. ok is false if MostTraced messages are being followed
// already.
func (h *Hub) Trace(channel, mark, sum string) (ok bool) {
	if !h.following.add(&traced{channel: channel, mark: mark, sum: sum}) {
		return false
	}
	time.AfterFunc(traceLife, func() { h.EndTrace(mark) })
	return true
}

// EndTrace stops following a message.
func (h *Hub) EndTrace(mark string) { h.following.remove(mark) }

// Traced returns what has become of a followed message so far, or the zero Report if it is
// not followed or has not been received.
func (h *Hub) Traced(mark string) Report {
	if t, there := h.following.byMark.Load(mark); there {
		return t.(*traced).report()
	}
	return Report{}
}

// begin returns the traced of a message that is about to be delivered to the audience of ch,
// or nil if it is not followed or has been received before. The caller must hold ch.mu.
func (f *following) begin(ch *Channel, m *broker.Message) *traced {
	if f.number.Load() == 0 {
		return nil
	}
	for t := range f.all {
		if t.is(ch, m) && t.hear() {
			return t
		}
	}
	return nil
}

// look records how far the followed messages of ch have come, before a newer message can
// replace them. The caller must hold ch.mu.
func (f *following) look(ch *Channel) {
	if f.number.Load() == 0 {
		return
	}
	for t := range f.all {
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

// expect records for which sessions a frame is, before it is queued. frame is nil if the
// protocol cannot express the message. On a nil t, expect does nothing.
func (t *traced) expect(a *audience, m *broker.Message, frame []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, to := range a.members {
		c := &traceCopy{Copy: Copy{By: to.of.by, User: to.of.by.Who().User, Fate: Waiting}, out: to.out, frame: frame}
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
