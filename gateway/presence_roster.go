package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidegate/broker"
)

// roster is who is on a channel with join_leave, as its audience here has been
// told. Joins and leaves come as messages whose positions are contiguous, so that
// a loss is noticed; then the members are read, and the audience is told what
// has changed. It is guarded by the channel's mu.
type roster struct {
	users    map[string]struct{}
	position broker.Position // of the last join or leave
	reading  bool
	early    []broker.Message // came while the members were read

	// A broker that has lost its memory learns from the nodes who is there. Until
	// they have had time for that, nobody is taken to have left because the
	// broker does not know him. Zero: it has lost nothing.
	amnesia time.Time
}

// follow makes sure that the joins and leaves of ch are heard here, if its
// audience is to hear of them. When it returns, whoever comes or goes from then
// on is told. The caller holds ch.joining.
func (h *hub) follow(ctx context.Context, ch *channel) error {
	g := h.gateway
	if !h.mustFollow(ch) {
		return nil
	}
	if err := g.broker.Subscribe(ctx, broker.PresenceChannel(ch.name)); err != nil {
		return fmt.Errorf("subscribe to joins and leaves of %q: %w", ch.name, err)
	}
	ch.followed = true
	r := &roster{reading: true}
	ch.setRoster(r)
	read, err := g.presence.broker.Members(ctx, ch.name)
	if err != nil {
		return errors.Join(fmt.Errorf("follow joins and leaves of %q: %w", ch.name, err), h.unfollow(ctx, ch))
	}
	ch.beginRoster(r, read)
	return nil
}

// mustFollow reports whether the audience of ch is to hear of joins and leaves,
// and this node does not. The caller holds ch.joining.
func (h *hub) mustFollow(ch *channel) bool {
	return !ch.followed && h.gateway.presence != nil && ch.rule.Load().JoinLeave
}

// unfollow undoes follow. The caller holds ch.joining.
func (h *hub) unfollow(ctx context.Context, ch *channel) error {
	if !ch.followed {
		return nil
	}
	ch.followed = false
	ch.setRoster(nil)
	return h.gateway.broker.Unsubscribe(ctx, broker.PresenceChannel(ch.name))
}

func (ch *channel) setRoster(r *roster) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.roster = r
}

// followLive is follow for a channel that may have been live when its rule
// changed.
func (h *hub) followLive(ch *channel) {
	ch.joining.Lock()
	defer ch.joining.Unlock()
	if !ch.live {
		return
	}
	if err := h.follow(h.gateway.life, ch); err != nil {
		h.gateway.log.Warn("joins and leaves will be told from the next subscribe on", "error", err)
	}
}

// receivePresence takes a join or a leave from the broker.
func (ch *channel) receivePresence(m *broker.Message) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	known := m.Event == broker.EventJoin || m.Event == broker.EventLeave
	if ch.roster != nil && known && !m.Position.IsZero() {
		ch.hear(ch.roster, m)
	}
}

// hear takes a join or a leave. The caller holds ch.mu.
func (ch *channel) hear(r *roster, m *broker.Message) {
	switch at := m.Position; {
	case r.reading:
		r.early = append(r.early, *m)
	case r.position.IsZero() && at.Offset == 1,
		at.Epoch == r.position.Epoch && at.Offset == r.position.Offset+1:
		r.position = at
		ch.note(r, m)
	case !r.isPast(at):
		r.early = append(r.early, *m)
		ch.readRoster(r)
	}
}

func (r *roster) isPast(at broker.Position) bool {
	return at.Epoch == r.position.Epoch && at.Offset <= r.position.Offset
}

func (ch *channel) note(r *roster, m *broker.Message) {
	if m.Event == broker.EventJoin {
		ch.come(r, m.User, m.Payload)
	} else {
		ch.depart(r, m.User)
	}
}

// come tells the audience of a join that it has not been told of.
func (ch *channel) come(r *roster, user string, info json.RawMessage) {
	if _, known := r.users[user]; known {
		return
	}
	r.users[user] = struct{}{}
	ch.tellPresence(Join{Channel: ch.name, User: user, Info: orNil(info)})
}

// depart tells the audience of a leave that it has not been told of.
func (ch *channel) depart(r *roster, user string) {
	if _, known := r.users[user]; !known {
		return
	}
	delete(r.users, user)
	ch.tellPresence(Leave{Channel: ch.name, User: user})
}

// tellPresence tells the audience, if the rule still says so.
func (ch *channel) tellPresence(event Event) {
	if ch.rule.Load().JoinLeave {
		ch.announce(event)
	}
}

func orNil(info json.RawMessage) json.RawMessage {
	if len(info) == 0 {
		return nil
	}
	return info
}

// readRoster has the members read; what is heard meanwhile waits. The caller
// holds ch.mu.
func (ch *channel) readRoster(r *roster) {
	if r.reading {
		return
	}
	r.reading = true
	g := ch.hub.gateway
	g.background.Go(func() { ch.runRead(g.life, r) })
}

func (ch *channel) runRead(ctx context.Context, r *roster) {
	g := ch.hub.gateway
	for attempt := 0; ctx.Err() == nil; attempt++ {
		g.repairs <- struct{}{}
		read, err := g.presence.broker.Members(ctx, ch.name)
		<-g.repairs
		if done := ch.take(r, read, err); done {
			return
		}
		pause(ctx, backoff(attempt))
	}
}

// take makes use of what was read, and reports whether it is not to be read
// again.
func (ch *channel) take(r *roster, read broker.Roster, err error) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.roster != r {
		return true
	}
	if err != nil {
		return false
	}
	ch.mendRoster(r, read, time.Now())
	ch.endReading(r, read.Position)
	return true
}

// beginRoster takes the members that were there before the audience.
func (ch *channel) beginRoster(r *roster, read broker.Roster) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	r.users = make(map[string]struct{}, len(read.Members))
	for _, m := range read.Members {
		r.users[m.User] = struct{}{}
	}
	ch.endReading(r, read.Position)
}

// endReading goes on with what was heard meanwhile. The caller holds ch.mu.
func (ch *channel) endReading(r *roster, at broker.Position) {
	early := r.early
	r.early, r.reading, r.position = nil, false, at
	for i := range early {
		ch.hear(r, &early[i])
	}
}

// mendRoster tells the audience what it has missed.
func (ch *channel) mendRoster(r *roster, read broker.Roster, now time.Time) {
	if !r.position.IsZero() && read.Position.Epoch != r.position.Epoch {
		r.amnesia = now.Add(ch.hub.gateway.lease)
	}
	there := make(map[string]struct{}, len(read.Members))
	for _, m := range read.Members {
		there[m.User] = struct{}{}
		ch.come(r, m.User, m.Info)
	}
	if now.Before(r.amnesia) {
		return
	}
	r.amnesia = time.Time{}
	for user := range r.users {
		if _, is := there[user]; !is {
			ch.depart(r, user)
		}
	}
}

// differs reports whether the channel's newest join or leave is not the one that
// was heard before the broker was asked for it, or users may have left while the
// broker knew nothing.
func (ch *channel) differs(before, newest broker.Position) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	r := ch.roster
	if r == nil || r.reading || r.position != before {
		return false
	}
	return newest != before || !r.amnesia.IsZero() && time.Now().After(r.amnesia)
}

// lag is a channel that may have missed a join or a leave after a position.
type lag struct {
	channel  *channel
	position broker.Position
}

// onTheWay is how long a join or a leave may take from the broker to here.
const onTheWay = 250 * time.Millisecond

// catchUp has the members of channels read that do not hear by themselves what
// they may have missed.
func (g *Gateway) catchUp(behind []lag) {
	if len(behind) == 0 {
		return
	}
	g.background.Go(func() {
		if !pause(g.life, onTheWay) {
			return
		}
		for _, l := range behind {
			l.channel.mu.Lock()
			if r := l.channel.roster; r != nil && r.position == l.position {
				l.channel.readRoster(r)
			}
			l.channel.mu.Unlock()
		}
	})
}
