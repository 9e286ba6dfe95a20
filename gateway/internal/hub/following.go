package hub

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
)

// following are the messages that Hub.Trace follows. While there are none, each message costs
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

// Trace starts to follow a message of a channel, for at most traceLife. The message is
// identified by mark, which it carries as its session, or, on a channel without envelopes,
// by sum, the SumOf its payload. ok is false if MostTraced messages are being followed
// already.
func (h *Hub) Trace(channel, mark, sum string) (ok bool) {
	f := &h.following
	if f.number.Add(1) > MostTraced {
		f.number.Add(-1)
		return false
	}
	if _, there := f.byMark.Swap(mark, &traced{channel: channel, mark: mark, sum: sum}); there {
		f.number.Add(-1)
	}
	time.AfterFunc(traceLife, func() { h.EndTrace(mark) })
	return true
}

// EndTrace stops following a message.
func (h *Hub) EndTrace(mark string) {
	if _, there := h.following.byMark.LoadAndDelete(mark); there {
		h.following.number.Add(-1)
	}
}

// Traced returns what has become of a followed message so far, or the zero Report if it is
// not followed or has not been received.
func (h *Hub) Traced(mark string) Report {
	if t, there := h.following.byMark.Load(mark); there {
		return t.(*traced).report()
	}
	return Report{}
}

// SumOf returns a hash of a payload, as raw bytes.
func SumOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return string(sum[:])
}

// begin returns the traced of a message that is about to be delivered to the audience of ch,
// or nil if it is not followed or has been received before. The caller must hold ch.mu.
func (f *following) begin(ch *Channel, m *broker.Message) (found *traced) {
	if f.number.Load() == 0 {
		return nil // Range may allocate
	}
	f.byMark.Range(func(_, of any) bool {
		t := of.(*traced)
		if t.is(ch, m) {
			if t.delivery.Load() == nil {
				found = t
			} else {
				t.heard.Add(1)
			}
		}
		return found == nil
	})
	return found
}

func (t *traced) is(ch *Channel, m *broker.Message) bool {
	if t.channel != ch.name {
		return false
	}
	return m.Session == t.mark || ch.rule.Load().Bare && SumOf(m.Payload) == t.sum
}
