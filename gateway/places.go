package gateway

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// find returns the index at which the subscription to a channel is or would be. The caller
// must hold mu.
func (p *places) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(p.list, name, func(sub *subscription, name string) int {
		return strings.Compare(sub.Channel(), name)
	})
}

// on returns the subscription to a channel, or nil. The caller must hold mu.
func (p *places) on(name string) *subscription {
	if at, found := p.find(name); found {
		return p.list[at]
	}
	return nil
}

// seen returns the number of subscriptions, without the Unseen ones of watched users. The
// caller must hold mu.
func (p *places) seen() (n int) {
	for _, sub := range p.list {
		if !sub.Unseen() {
			n++
		}
	}
	return n
}

// reserve returns the subscription to a channel for a join, which must end by a call of
// settle. An existing one gets t's admission, if it has one and the server did not grant the
// subscription. A new one comes from made. Unless it is Unseen, there must be fewer than most
// subscriptions, not counting the Unseen ones.
func (p *places) reserve(name string, t *terms, most int, made func() (*subscription, error)) (*subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, found := p.find(name)
	switch {
	case found && t.fresh:
		return nil, failf(BadRequest, "the session %s is on %q already: take it off first", p.list[at].session.id, name)
	case found:
		sub := p.list[at]
		switch {
		case t.granted:
			p.setEnd(sub, t.until)
		case t.admission != nil && !sub.granted:
			p.rest(sub, t.admission)
		}
		sub.begin(t)
		return sub, nil
	case p.closed:
		return nil, failf(Unavailable, "the session has ended")
	case most > 0 && !t.Unseen && len(p.list) >= most && p.seen() >= most:
		return nil, failf(LimitExceeded, "the session is on %d channels, as many as limits.channels_per_session allows", most)
	}
	sub, err := made()
	if err != nil {
		return nil, err
	}
	p.setEnd(sub, t.until)
	if t.admission != nil && !t.granted {
		p.setEnd(sub, t.admission.Until)
	}
	sub.begin(t)
	p.list = slices.Insert(p.list, at, sub)
	return sub, nil
}

// begin counts a join. The caller must hold mu of the places.
func (sub *subscription) begin(t *terms) {
	sub.pending++
	if !t.granted {
		sub.asked++
	}
}

// enter is called when a join is about to be answered, and reports whether it may be. One that
// yields may not if another has been answered before, or is under way for the client: that one
// says where the client's messages begin.
func (p *places) enter(sub *subscription, yields bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if yields && (sub.entered || sub.asked > 0) {
		sub.owed = !sub.entered
		return false
	}
	sub.entered = true
	return true
}

// settle ends a join. If no join of the subscription has been answered or is under way, it
// removes the subscription or, if that is owed to a grant, begins another join for the grant.
func (p *places) settle(sub *subscription, t *terms) (removed, owed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub.pending--
	if !t.granted {
		sub.asked--
	}
	if sub.entered || sub.pending > 0 {
		return false, false
	}
	at, found := p.find(sub.Channel())
	if !found || p.list[at] != sub {
		return false, false
	}
	if sub.owed {
		sub.owed = false
		sub.pending++
		return false, true
	}
	p.list = slices.Delete(p.list, at, at+1)
	return true, false
}

// noteEnd records why a subscription is about to end, for the joins of it that are under way.
func (p *places) noteEnd(sub *subscription, why Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub.ended = uint8(1 + slices.Index(codes, why))
}

// explain returns err, with which a join has ended, and why its subscription was ended before, if it was.
func (p *places) explain(sub *subscription, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil || sub.ended == 0 {
		return err
	}
	return errors.Join(failf(codes[sub.ended-1], "the session was taken off %q while it subscribed", sub.Channel()), err)
}

// rest makes a subscription depend on the latest admission. The caller must hold mu.
func (p *places) rest(sub *subscription, on *Admission) {
	p.setEnd(sub, on.Until)
	was := sub.admission
	switch {
	case was == nil:
		return
	case was.by != nil && on.by != nil:
		*was.by = *on.by
	}
	if was.As != nil && on.As != nil {
		was.As = on.As
	}
}

// setEnd sets when a subscription ends. The caller must hold mu.
func (p *places) setEnd(sub *subscription, end time.Time) {
	sub.end = 0
	if !end.IsZero() {
		sub.end, p.ends = end.UnixMilli(), true
	}
}

// grant marks the subscription to a channel as granted by the server until the given time. It
// reports whether there is one that has been entered or that the client is about to enter.
func (p *places) grant(channel string, until time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	if sub == nil || !sub.entered && sub.asked == 0 {
		return false
	}
	sub.granted, sub.owed = true, !sub.entered
	p.setEnd(sub, until)
	return true
}

// renew makes the subscription to a channel depend on the latest admission.
func (p *places) renew(channel string, a *Admission) (*subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	if sub == nil {
		return nil, failf(NotFound, "the session is not subscribed to %q", channel)
	}
	if was := sub.admission; a.As != nil && (was == nil || was.As == nil || was.As.User != a.As.User) {
		return nil, failf(Forbidden, "a subscription keeps its user: subscribe anew to be another one on %q", channel)
	}
	p.rest(sub, a)
	return sub, nil
}

// drop removes and returns the subscription to a channel, or returns nil if there is none.
func (p *places) drop(channel string) *subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, found := p.find(channel)
	if !found {
		return nil
	}
	sub := p.list[at]
	p.list = slices.Delete(p.list, at, at+1)
	return sub
}

// dropIf removes and returns the subscriptions for which over returns true. It calls over with
// mu held.
func (p *places) dropIf(over func(*subscription) bool) (dropped []*subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(sub *subscription) bool {
		gone := over(sub)
		if gone {
			dropped = append(dropped, sub)
		}
		return gone
	})
	return dropped
}

// remove removes a subscription and reports whether it was still there.
func (p *places) remove(sub *subscription) bool {
	return len(p.dropIf(func(is *subscription) bool { return is == sub })) > 0
}

// close removes and returns all subscriptions. No more can be added.
func (p *places) close() []*subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list, p.closed = nil, true
	return list
}

// all returns a copy of the list of subscriptions.
func (p *places) all() []*subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// channels returns the names of the channels, sorted.
func (p *places) channels() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, len(p.list))
	for i, sub := range p.list {
		names[i] = sub.Channel()
	}
	return names
}

// isOn reports whether there is a subscription to a channel. If so, the session has been
// admitted to it.
func (p *places) isOn(channel string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on(channel) != nil
}

// have reports whether a subscription still exists.
func (p *places) have(sub *subscription) bool {
	has, _ := p.has(sub)
	return has
}

// has reports whether a subscription still exists, and whether the server has granted it.
func (p *places) has(sub *subscription) (has, granted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on(sub.Channel()) == sub, sub.granted
}

// as returns the principal that a session of principal is acts as on a channel.
func (p *places) as(is *Principal, channel string) *Principal {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	if sub == nil {
		return is
	}
	return sub.admission.applied(is, channel)
}

// identity returns the identity of a subscription, or nil if it is that of the session.
func (p *places) identity(sub *subscription) *Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub.admission == nil {
		return nil
	}
	return sub.admission.As
}

// endOf returns when a subscription ends; zero means with the session.
func (p *places) endOf(sub *subscription) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub.end == 0 {
		return time.Time{}
	}
	return time.UnixMilli(sub.end)
}

// nextEnd returns the earliest end of a subscription, or at if that is earlier; zero means
// never.
func (p *places) nextEnd(at time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ends {
		return at
	}
	for _, sub := range p.list {
		if end := time.UnixMilli(sub.end); sub.end != 0 && (at.IsZero() || end.Before(at)) {
			at = end
		}
	}
	return at
}
