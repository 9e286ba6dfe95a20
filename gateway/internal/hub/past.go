package hub

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// recall sees to it that there is a past. The caller holds ch.mu.
func (ch *Channel) recall() {
	if ch.past != nil {
		return
	}
	ch.past = &past{Timeline: timeline.New(&ch.all.timelines)}
	if ch.retired {
		ch.past.Close()
	}
}

// at returns the position of the last message sent; zero: it is not known, or the
// channel keeps no history. The caller holds ch.mu.
func (ch *Channel) at() broker.Position {
	if ch.past == nil || !ch.keepsHistory() {
		return broker.Position{}
	}
	return ch.At()
}

func (ch *Channel) keepsHistory() bool {
	return ch.all.History != nil && ch.rule.Load().KeepsHistory()
}

func (ch *Channel) knowsPosition() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return !ch.at().IsZero()
}

// beginLook is to be called before the history is asked where it is; the look's
// number is for startAt.
func (ch *Channel) beginLook() (look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	return ch.BeginLook(time.Now())
}

// startAt notes where a look has found the history.
func (ch *Channel) startAt(top broker.Top, look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if ch.Locate(top, look) {
		ch.announceGap() // to those who came before history was kept
	}
}

// forgetPosition is for a channel whose messages the broker does not deliver any
// more.
func (ch *Channel) forgetPosition() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past != nil {
		ch.Forget()
	}
}

// ForgetHistory is told that a channel's history was cleared up to a position.
func (h *Hub) ForgetHistory(channel string, upTo broker.Position) {
	if ch := h.find(channel); ch != nil {
		ch.forgetHistory(upTo)
	}
}

// forgetHistory is for a channel whose history was cleared up to a position.
func (ch *Channel) forgetHistory(cleared broker.Position) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	ch.Clear(cleared)
	if ch.reading != nil {
		ch.reading.outdated = true
	}
}
