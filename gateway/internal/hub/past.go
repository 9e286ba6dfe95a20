package hub

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// recall makes sure that ch.past is not nil. The caller must hold ch.mu.
func (ch *Channel) recall() {
	if ch.past != nil {
		return
	}
	ch.past = &past{Timeline: timeline.New(&ch.all.timelines)}
	if ch.retired {
		ch.past.Close()
	}
}

// at returns the position of the last message sent, or the zero Position if it is not known
// or the channel keeps no history. The caller must hold ch.mu.
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

// beginLook must be called before the position is read from the history. It returns the
// number to pass to startAt.
func (ch *Channel) beginLook() (look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	return ch.BeginLook(time.Now())
}

// startAt records the position that a look has found in the history.
func (ch *Channel) startAt(top broker.Top, look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if ch.Locate(top, look) {
		ch.announceGap() // for subscribers that joined before history was kept
	}
}

// forgetPosition is called when the broker no longer delivers the channel's messages.
func (ch *Channel) forgetPosition() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past != nil {
		ch.Forget()
	}
}

// ForgetHistory is called when a channel's history was cleared up to the given position.
func (h *Hub) ForgetHistory(channel string, upTo broker.Position) {
	ch := h.find(channel)
	if ch == nil {
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	ch.Clear(upTo)
	if ch.reading != nil {
		ch.reading.outdated = true
	}
}
