package attendance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"

	"golang.org/x/time/rate"
)

// Follow subscribes to the joins and leaves of a channel and calls tell for each, one call
// at a time, with mu held. The caller must not hold mu.
func (a *Attendance) Follow(ctx context.Context, channel string, mu sync.Locker, tell func(Change)) error {
	if err := a.config.Broker.Subscribe(ctx, broker.PresenceChannel(channel)); err != nil {
		return fmt.Errorf("subscribe to joins and leaves of %q: %w", channel, err)
	}
	r := &roster{channel: channel, tell: tell, mu: mu, members: make(map[string]Who), reading: true}
	if n := a.config.Changes; n > 0 {
		r.limit = rate.NewLimiter(rate.Limit(n), n)
	}
	a.mu.Lock()
	a.rosters[channel] = r
	a.mu.Unlock()
	read, err := a.config.Presence.Members(ctx, channel)
	if err != nil {
		return errors.Join(fmt.Errorf("follow joins and leaves of %q: %w", channel, err), a.Unfollow(ctx, channel))
	}
	mu.Lock()
	defer mu.Unlock()
	for _, m := range read.Members {
		who := whoIs(&m)
		r.members[who.name()] = who
	}
	a.endReading(r, read.Position)
	return nil
}

// Unfollow undoes Follow. The caller must not hold the Locker given to Follow.
func (a *Attendance) Unfollow(ctx context.Context, channel string) error {
	if r := a.roster(channel); r != nil {
		a.mu.Lock()
		delete(a.rosters, channel)
		a.mu.Unlock()
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
	}
	return a.config.Broker.Unsubscribe(ctx, broker.PresenceChannel(channel))
}

// Here returns the roll of a followed channel, or nil if it is not followed. The caller must
// hold the Locker, and call End later.
func (a *Attendance) Here(channel string) *Roll {
	if r := a.roster(channel); r != nil {
		return r.call()
	}
	return nil
}

func (a *Attendance) roster(channel string) *roster {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rosters[channel]
}

// Receive handles a message of the PresenceChannel of a channel.
func (a *Attendance) Receive(channel string, m *broker.Message) {
	known := m.Event == broker.EventJoin || m.Event == broker.EventLeave
	r := a.roster(channel)
	if r == nil || !known || m.Position.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.hear(r, m)
}

// hear handles a join or a leave. The caller must hold r.mu, as for the functions below.
func (a *Attendance) hear(r *roster, m *broker.Message) {
	switch at := m.Position; {
	case r.closed:
	case r.reading:
		r.early = append(r.early, *m)
	case r.position.IsZero() && at.Offset == 1,
		at.Epoch == r.position.Epoch && at.Offset == r.position.Offset+1:
		r.position = at
		a.noteChange(r, m)
	case at.Epoch != r.position.Epoch || at.Offset > r.position.Offset:
		r.early = append(r.early, *m)
		a.readAgain(r)
	}
}

func (a *Attendance) noteChange(r *roster, m *broker.Message) {
	who := Who{User: m.User, Session: m.Session}
	if m.Event == broker.EventLeave {
		a.depart(r, who)
		return
	}
	if len(m.Payload) > 0 {
		who.Info = m.Payload
	}
	who.Elsewhere = m.Elsewhere
	a.come(r, who)
}

// come reports a join unless the audience already knows of it.
func (a *Attendance) come(r *roster, who Who) {
	if _, known := r.members[who.name()]; !known {
		r.members[who.name()] = who
		a.report(r, Change{Joined, who})
	}
}

// depart reports a leave unless the audience already knows of it.
func (a *Attendance) depart(r *roster, gone Who) {
	if who, known := r.members[gone.name()]; known {
		delete(r.members, gone.name())
		a.report(r, Change{Left, who})
	}
}

// report tells the audience of a change. Above the limit it sends Many instead, at most
// once per second and once after the last change.
func (a *Attendance) report(r *roster, c Change) {
	r.note(c)
	switch {
	case r.limit == nil || r.limit.Allow():
		r.tell(c)
	case r.mentioned:
		r.untold = true
	default:
		a.mention(r)
	}
}

func (a *Attendance) mention(r *roster) {
	r.mentioned, r.untold = true, false
	r.tell(Change{Kind: Many})
	a.work.Go(func() {
		pause.For(a.life, time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.mentioned = false; r.untold && !r.closed {
			a.mention(r)
		}
	})
}

// readAgain starts a read of the members. Changes that arrive meanwhile are buffered.
func (a *Attendance) readAgain(r *roster) {
	if !r.reading {
		r.reading = true
		a.work.Go(func() {
			a.readUntil(r.channel, r.cover, func(read broker.Roster, err error) bool { return a.mend(r, read, err) })
		})
	}
}

// readUntil reads the members of a channel until done returns true for the result. It calls begin
// before each read.
func (a *Attendance) readUntil(channel string, begin func(), done func(broker.Roster, error) bool) {
	for attempt := 0; a.life.Err() == nil; attempt++ {
		a.reading <- struct{}{}
		begin()
		read, err := a.config.Presence.Members(a.life, channel)
		<-a.reading
		if done(read, err) {
			return
		}
		pause.For(a.life, pause.Backoff(attempt))
	}
}

// mend tells the audience the changes that it has missed. It returns true if no
// further read is needed.
func (a *Attendance) mend(r *roster, read broker.Roster, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || err != nil {
		return r.closed
	}
	now := time.Now()
	if !r.position.IsZero() && read.Position.Epoch != r.position.Epoch {
		r.amnesia = now.Add(a.config.Lease)
	}
	there := make(map[string]struct{}, len(read.Members))
	for _, m := range read.Members {
		who := whoIs(&m)
		there[who.name()] = struct{}{}
		a.come(r, who)
	}
	if !now.Before(r.amnesia) {
		r.amnesia = time.Time{}
		for name, who := range r.members {
			if _, is := there[name]; !is {
				a.depart(r, who)
			}
		}
	}
	a.endReading(r, read.Position)
	return true
}

// endReading handles the changes that arrived during the read. It drops those that arrived
// before: some may belong to an epoch that is over, and no read would ever reach them.
func (a *Attendance) endReading(r *roster, at broker.Position) {
	early := r.early[r.covered:]
	r.early, r.covered, r.reading, r.position = nil, 0, false, at
	for i := range early {
		a.hear(r, &early[i])
	}
}

// onTheWay is the time that a join or leave may take from the broker to this node.
const onTheWay = 250 * time.Millisecond

// checkRosters reads the members of those channels that have missed a change without any
// sign of it.
func (a *Attendance) checkRosters(ctx context.Context) {
	before := a.positions()
	if len(before) == 0 {
		return
	}
	channels := make([]string, 0, len(before))
	for r := range before {
		channels = append(channels, r.channel)
	}
	newest, err := a.config.Presence.Look(ctx, channels)
	if err != nil {
		a.config.Log.Debug("not all joins and leaves are checked", "error", err)
	}
	behind := make(map[*roster]broker.Position)
	for r, heard := range before {
		if at, known := newest[r.channel]; known && r.differs(heard, at) {
			behind[r] = heard
		}
	}
	if len(behind) > 0 {
		a.work.Go(func() { a.readBehind(behind) })
	}
}

// positions returns the positions up to which the rosters have heard.
func (a *Attendance) positions() map[*roster]broker.Position {
	a.mu.Lock()
	list := make(map[*roster]broker.Position, len(a.rosters))
	for _, r := range a.rosters {
		list[r] = broker.Position{}
	}
	a.mu.Unlock()
	for r := range list {
		r.mu.Lock()
		list[r] = r.position
		r.mu.Unlock()
	}
	return list
}

func (a *Attendance) readBehind(behind map[*roster]broker.Position) {
	if !pause.For(a.life, onTheWay) {
		return
	}
	for r, heard := range behind {
		r.mu.Lock()
		if r.position == heard && !r.closed {
			a.readAgain(r)
		}
		r.mu.Unlock()
	}
}
