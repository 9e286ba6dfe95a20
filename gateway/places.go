package gateway

import (
	"slices"
	"strings"
	"time"
)

// find returns where the place on a channel is, or would be. The caller holds mu.
func (p *places) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(p.list, name, func(sub *subscription, name string) int {
		return strings.Compare(sub.Channel(), name)
	})
}

// on returns the place on a channel; nil: there is none. The caller holds mu.
func (p *places) on(name string) *subscription {
	if at, found := p.find(name); found {
		return p.list[at]
	}
	return nil
}

// seen returns how many places there are beside those of channels that are watched. The
// caller holds mu.
func (p *places) seen() (n int) {
	for _, sub := range p.list {
		if !sub.Unseen() {
			n++
		}
	}
	return n
}

// reserve returns the place on a channel: where there is one already, that rests on a from
// now on, if something was shown. Else it is what made returns; where there are most that
// are not of channels that are watched, there is no room for another one of these.
func (p *places) reserve(name string, t *terms, most int, made func() (*subscription, error)) (*subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, found := p.find(name)
	switch {
	case found:
		if sub := p.list[at]; t.admission != nil && !sub.granted {
			p.rest(sub, t.admission)
		}
		return p.list[at], nil
	case p.closed:
		return nil, failf(Unavailable, "the session has ended")
	case most > 0 && !t.Unseen && len(p.list) >= most && p.seen() >= most:
		return nil, failf(LimitExceeded, "the session is on %d channels, as many as limits.channels_per_session allows", most)
	}
	sub, err := made()
	if err != nil {
		return nil, err
	}
	if t.admission != nil {
		p.setEnd(sub, t.admission.Until)
	}
	p.list = slices.Insert(p.list, at, sub)
	return sub, nil
}

// rest has a subscription rest on what was shown last. The caller holds mu.
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

// setEnd is called with mu held.
func (p *places) setEnd(sub *subscription, end time.Time) {
	sub.end = 0
	if !end.IsZero() {
		sub.end, p.ends = end.UnixNano(), true
	}
}

// grant makes the place on a channel one that the server has given until a time, and
// reports whether there is one.
func (p *places) grant(channel string, until time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	if sub != nil {
		sub.granted = true
		p.setEnd(sub, until)
	}
	return sub != nil
}

// renew has the place on a channel rest on what was shown last.
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

// drop gives up the place on a channel; nil: there is none.
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

// dropIf gives up the places that are over, and returns them. It calls over with mu held.
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

// remove gives up a place, and reports whether it was there still.
func (p *places) remove(sub *subscription) bool {
	return len(p.dropIf(func(is *subscription) bool { return is == sub })) > 0
}

// close gives up all places, for good.
func (p *places) close() []*subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list, p.closed = nil, true
	return list
}

// all returns the subscriptions.
func (p *places) all() []*subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// channels returns the names of the channels.
func (p *places) channels() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, len(p.list))
	for i, sub := range p.list {
		names[i] = sub.Channel()
	}
	return names
}

// isOn reports whether there is a place on a channel, for which the session has been let
// in then.
func (p *places) isOn(channel string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on(channel) != nil
}

// has reports whether there is a subscription still, and whether it is by a grant of the
// server's.
func (p *places) has(sub *subscription) (has, granted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.on(sub.Channel()) == sub, sub.granted
}

// as returns whom a session that acts as is acts as on a channel.
func (p *places) as(is *Principal, channel string) *Principal {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	if sub == nil {
		return is
	}
	return sub.admission.applied(is, channel)
}

// identity returns who the client of a subscription is there, if not whom the session acts
// as; nil: that.
func (p *places) identity(sub *subscription) *Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub.admission == nil {
		return nil
	}
	return sub.admission.As
}

// endOf returns when a subscription ends; zero: with the session.
func (p *places) endOf(sub *subscription) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sub.end == 0 {
		return time.Time{}
	}
	return time.Unix(0, sub.end)
}

// nextEnd returns when the first subscription ends, or at, if that is sooner; zero: never.
func (p *places) nextEnd(at time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ends {
		return at
	}
	for _, sub := range p.list {
		if end := time.Unix(0, sub.end); sub.end != 0 && (at.IsZero() || end.Before(at)) {
			at = end
		}
	}
	return at
}

// isGranted reports whether the server has put the session on a channel.
func (p *places) isGranted(channel string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sub := p.on(channel)
	return sub != nil && sub.granted
}
