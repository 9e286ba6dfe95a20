package gateway

import (
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// recall sees to it that there is a past. The caller holds ch.mu.
func (ch *channel) recall() {
	if ch.past != nil {
		return
	}
	ch.past = &past{Timeline: timeline.New(&ch.hub.timelines)}
	if ch.retired {
		ch.past.Close()
	}
}

// at returns the position of the last message sent; zero: it is not known, or the
// channel keeps no history. The caller holds ch.mu.
func (ch *channel) at() broker.Position {
	if ch.past == nil || !ch.keepsHistory() {
		return broker.Position{}
	}
	return ch.At()
}

func (ch *channel) keepsHistory() bool {
	return ch.hub.gateway.history != nil && ch.rule.Load().KeepsHistory()
}

// receiveNext takes a message of a channel that has a past. The caller holds ch.mu.
func (ch *channel) receiveNext(e *timeline.Entry) {
	if e.Message.Position.IsZero() {
		if !e.Message.Transient {
			ch.NoteUnkept()
		}
		ch.deliver(e)
		return
	}
	switch ch.Next(e, time.Now()) {
	case timeline.Deliver:
		ch.deliver(e)
	case timeline.Gap:
		ch.runRepair()
	}
}

func (ch *channel) knowsPosition() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return !ch.at().IsZero()
}

// beginLook is to be called before the history is asked where it is; the look's
// number is for startAt.
func (ch *channel) beginLook() (look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	return ch.BeginLook(time.Now())
}

// startAt notes where a look has found the history.
func (ch *channel) startAt(top broker.Top, look uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if ch.Locate(top, look) {
		ch.announceGap() // to those who came before history was kept
	}
}

// forgetPosition is for a channel whose messages the broker does not deliver any
// more.
func (ch *channel) forgetPosition() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.past != nil {
		ch.Forget()
	}
}

// forgetHistory is for a channel whose history was cleared up to a position.
func (ch *channel) forgetHistory(cleared broker.Position) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	ch.Clear(cleared)
	if ch.reading != nil {
		ch.reading.outdated = true
	}
}
