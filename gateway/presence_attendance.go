package gateway

import (
	"bytes"
	"encoding/json"
	"slices"

	"tidegate/broker"
)

// attendance is which users this node's sessions make present on a channel. It is
// guarded by the channel's mu.
type attendance struct {
	users   map[string]*attendee
	changed []string // users of whom the broker has not been told the latest
	whole   bool     // it is to be told of all
	queued  bool     // in presence.changed, and not yet on the way
	version uint64   // of the last statement that was tried
	stated  uint64   // of the last statement that was taken
}

type attendee struct {
	sessions int
	info     json.RawMessage
	changed  bool
}

// attend counts a subscription, or counts it no more, by what is known of its
// user now and by the channel's rule. The caller holds ch.mu.
func (ch *channel) attend(sub *subscription) {
	if ch.hub.gateway.presence == nil || sub.gone {
		return
	}
	who := sub.session.who()
	if who.User == "" || !ch.rule.Load().Presence {
		ch.absent(sub)
		return
	}
	a, at := ch.attendee(who.User)
	if sub.present && bytes.Equal(at.info, who.Info) {
		return
	}
	if !sub.present {
		sub.present = true
		at.sessions++
	}
	at.info = who.Info
	ch.change(a, who.User, at)
}

// absent undoes attend. The caller holds ch.mu.
func (ch *channel) absent(sub *subscription) {
	if !sub.present {
		return
	}
	sub.present = false
	user := sub.session.who().User // a session keeps it
	a, at := ch.attendee(user)
	at.sessions--
	ch.change(a, user, at)
}

// attendee returns the channel's attendance and a user's place in it, making
// both.
func (ch *channel) attendee(user string) (*attendance, *attendee) {
	if ch.attendance == nil {
		ch.attendance = &attendance{users: make(map[string]*attendee)}
	}
	a := ch.attendance
	if a.users[user] == nil {
		a.users[user] = &attendee{}
	}
	return a, a.users[user]
}

// change notes what the broker is to be told. The caller holds ch.mu.
func (ch *channel) change(a *attendance, user string, at *attendee) {
	if !at.changed {
		at.changed = true
		a.changed = append(a.changed, user)
	}
	ch.queue(a)
}

// queue has the attendance stated soon. Until it has been, the channel is held.
// The caller holds ch.mu.
func (ch *channel) queue(a *attendance) {
	if a.queued || !ch.hub.retain(ch) {
		return
	}
	a.queued = true
	ch.hub.gateway.presence.queue(ch)
}

// attendAll looks anew at all that the session is on, since its user has become
// known, or the rules have changed.
func (s *Session) attendAll() {
	if s.gateway.presence == nil {
		return
	}
	s.mu.Lock()
	subscriptions := slices.Clone(s.subscriptions)
	s.mu.Unlock()
	for _, sub := range subscriptions {
		sub.channel.mu.Lock()
		if sub.joined || sub.present {
			sub.channel.attend(sub)
		}
		sub.channel.mu.Unlock()
	}
}

// state returns what the broker is to be told. Users who have left are forgotten
// by it.
func (ch *channel) state(version uint64) broker.Attendance {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	a := ch.attendance
	statement := broker.Attendance{Channel: ch.name, Version: version, After: a.stated}
	statement.Whole = a.whole || len(a.changed) == len(a.users)
	list := a.changed
	if a.whole {
		list = nil
		for user := range a.users {
			list = append(list, user)
		}
	}
	for _, user := range list {
		at := a.users[user]
		at.changed = false
		statement.Members = append(statement.Members, broker.Member{User: user, Info: at.info, Sessions: at.sessions})
		if at.sessions == 0 {
			delete(a.users, user)
		}
	}
	a.changed, a.whole, a.queued, a.version = nil, false, false, version
	return statement
}

func (ch *channel) noteStated(version uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.attendance.stated = version
}

// unstate takes back what the broker did not take, or may have taken, so that it
// is told of all. It reports whether the hold
// of the failed statement is that of a new one.
func (ch *channel) unstate(statement broker.Attendance) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	a := ch.attendance
	a.whole = true
	for _, m := range statement.Members {
		_, at := ch.attendee(m.User)
		if !at.changed {
			at.changed = true
			a.changed = append(a.changed, m.User)
		}
	}
	if a.queued {
		return false
	}
	a.queued = true
	ch.hub.gateway.presence.queue(ch)
	return true
}

// restate has all users stated anew, unless that of the given version was not the
// last statement.
func (ch *channel) restate(version uint64) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if a := ch.attendance; a.version == version && !a.queued {
		a.whole = true
		ch.queue(a)
	}
}

// stay returns what the broker is asked about the channel, and the position of
// the last join or leave that was heard there. There is nothing to ask if nobody
// is present here, and nobody is told of the others.
func (ch *channel) stay() (stay broker.Stay, heard broker.Position, ok bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	stay.Channel = ch.name
	if a := ch.attendance; a != nil && len(a.users) > 0 && !a.queued {
		stay.Version = a.version
	}
	if ch.roster != nil {
		heard = ch.roster.position
	}
	return stay, heard, stay.Version > 0 || ch.roster != nil
}
