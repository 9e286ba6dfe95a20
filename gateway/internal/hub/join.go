package hub

import (
	"context"

	"tidegate/broker"
	"tidegate/gateway/internal/timeline"
)

// Join adds a session to a channel's audience. The session has reserved its place, Sub. It
// calls Begin, Hub.MakeLive and Enter, in this order, and stops when Err is set.
type Join struct {
	// Fixed at birth.
	Sub     *Subscription
	Of      Joiner
	Cursor  broker.Position // it wants what was published after this; zero: only new messages
	Recent  int             // without a Cursor: how many of the last messages it wants
	Members bool            // the reply lists the members instead of positions
	Whole   bool            // it does not join if what was published after Cursor is not all in the history: ErrLost
	Dialect *Dialect        // encodes its messages after the reply; nil means no change

	Err error // why it has not joined, and has had no reply

	ch      *Channel
	from    *timeline.Reader // nil if it wants nothing from the history or there is none
	roll    roll             // that a reply with Members was made from, until it is sent
	encoded bool             // the reply is
}

// Begin records what the session wants from the history: what was published since its cursor
// or, without one, the most recent messages. If it wants anything, it receives no live
// messages between the reply and the last of that.
func (j *Join) Begin() {
	ch := j.Sub.channel
	j.ch = ch
	if j.Cursor.IsZero() && j.Recent == 0 || !ch.keepsHistory() {
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.recall()
	if j.Cursor.IsZero() {
		rule := ch.rule.Load()
		j.from = ch.Recent(min(j.Recent, rule.HistorySize), rule.HistoryTTL)
	} else {
		j.from = ch.Resume(j.Cursor)
	}
}

// Enter sends the reply and adds the subscription to the audience, at once or after
// everything from the history has been sent. It does not wait for the latter.
func (j *Join) Enter(ctx context.Context) {
	j.callRoll()
	defer j.endRoll()
	if j.from == nil {
		j.Err = j.enterNow()
		return
	}
	c := &resumption{Join: j, start: Start{Resumed: !j.Cursor.IsZero()}, nothing: j.asksRecent()}
	j.Err = c.run(ctx)
	c.noteEnd(j.Err)
}

// enterNow joins the audience at once, without the history: a cursor counts as not
// recovered.
func (j *Join) enterNow() error {
	ch, sub := j.ch, j.Sub
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.gone {
		return ErrGone
	}
	sub.tellBy(j.Dialect)
	if !j.Cursor.IsZero() {
		ch.all.Counters.NotRecovered.Inc()
	}
	if !j.encoded {
		j.Of.Encode(j.startNow())
	}
	news := j.roll.end()
	if j.asksRecent() {
		news = append(news, News{Kind: NothingRecent})
	}
	if j.Of.Reply() && j.sayAll(news) {
		sub.join()
	}
	return nil
}

// sayAll sends news of the channel to a client that is not in the audience yet. It stops at the
// first that cannot be sent, and returns false.
func (j *Join) sayAll(news []News) (said bool) {
	for _, n := range news {
		if n.Channel = j.ch.name; !j.Of.Say(n) {
			return false
		}
	}
	return true
}

// callRoll makes the reply if it lists the members. It holds the channel's lock only to copy
// them.
func (j *Join) callRoll() {
	if !j.Members {
		return
	}
	j.ch.mu.Lock()
	j.roll = j.Sub.callRoll()
	j.ch.mu.Unlock()
	j.Of.Encode(Start{Resumed: !j.Cursor.IsZero(), Members: j.roll.members()})
	j.encoded = true
}

// endRoll ends the roll if the reply has not been sent.
func (j *Join) endRoll() {
	if j.roll.Roll != nil {
		j.ch.mu.Lock()
		defer j.ch.mu.Unlock()
		j.roll.end()
	}
}

// startNow returns the channel's present position. The caller must hold ch.mu.
func (j *Join) startNow() Start {
	if !j.Cursor.IsZero() {
		return Start{Resumed: true}
	}
	return Start{Position: j.ch.at(), After: j.ch.at()}
}

// asksRecent reports whether the client is to be told if there are no recent messages.
func (j *Join) asksRecent() bool { return j.Recent > 0 && j.Cursor.IsZero() }
