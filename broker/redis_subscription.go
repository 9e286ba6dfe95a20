package broker

import (
	"context"
	"errors"
	"time"
)

// subscribeBatch is how many channels one command subscribes or unsubscribes.
const subscribeBatch = 1000

// subscription is one channel of a link.
type subscription struct {
	sent    bool          // on this connection
	known   bool          // a Subscribe has returned
	missed  bool          // was known when a connection was lost: a gap is to be told
	leaves  time.Time     // when it ends, if nobody subscribes again; or zero
	settled chan struct{} // closed when known, or failed
	err     error         // why it failed
}

type lingerer struct {
	name   string
	leaves time.Time
}

// subscribe returns once Redis has confirmed.
func (l *link) subscribe(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, settled, err := l.join(name)
	if err != nil || settled == nil {
		return err
	}
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case <-settled:
		return s.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errNoAnswer
		l.suspect()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.subscriptions[name] == s {
		l.part(name)
	}
	return err
}

// join returns the subscription, and what to wait for if Redis has not
// confirmed it.
func (l *link) join(name string) (*subscription, chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, nil, l.err
	}
	defer l.poke()
	l.opened = true
	s := l.subscriptions[name]
	if s == nil {
		s = &subscription{settled: make(chan struct{})}
		l.subscriptions[name] = s
		l.joining = append(l.joining, name)
	}
	s.leaves = time.Time{}
	return s, s.settled, nil
}

// unsubscribe ends a subscription after the linger.
func (l *link) unsubscribe(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subscriptions[name]
	if s == nil || !s.leaves.IsZero() {
		return
	}
	s.leaves = time.Now().Add(l.broker.config.Linger)
	l.lingering = append(l.lingering, lingerer{name, s.leaves})
}

// endLingering parts with the subscriptions that nobody came back to.
func (l *link) endLingering(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.lingering) && !l.lingering[n].leaves.After(now) {
		one := l.lingering[n]
		if s := l.subscriptions[one.name]; s != nil && s.leaves.Equal(one.leaves) {
			l.part(one.name)
		}
		n++
	}
	l.lingering = l.lingering[n:]
}

// part ends a subscription now. It is called with mu held.
func (l *link) part(name string) {
	s := l.subscriptions[name]
	delete(l.subscriptions, name)
	if s.sent {
		l.parting = append(l.parting, name)
		l.poke()
	}
}

// nextBatch takes what is to be sent to Redis now. Subscribes are taken when
// all before them are confirmed, so that those of many callers meet in one.
func (l *link) nextBatch() (join, part []string, probe bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	probe, l.suspected = l.suspected, false
	part, l.parting = l.parting, nil
	for _, name := range part {
		l.parted[name]++
	}
	if l.unconfirmed.Load() > 0 {
		return nil, part, probe
	}
	for len(l.joining) > 0 && len(join) < subscribeBatch {
		name := l.joining[0]
		l.joining = l.joining[1:]
		if s := l.subscriptions[name]; s != nil && !s.sent {
			s.sent = true
			join = append(join, name)
		}
	}
	l.unconfirmed.Store(int32(len(join)))
	return join, part, probe
}

var errUnsubscribed = errors.New("redis ended a subscription by itself")

// confirmed takes Redis's word that the subscriptions of a batch have begun.
func (l *link) confirmed(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unconfirmed.Store(0)
	l.poke()
	for _, name := range names {
		if s := l.subscriptions[name]; s != nil && s.sent && !s.known {
			s.known = true
			close(s.settled)
			s.settled = nil
		}
	}
}

// ended takes Redis's word that a subscription has ended. If nobody asked for
// that, its slot has moved.
func (l *link) ended(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parted[name] == 0 {
		return errUnsubscribed
	}
	if l.parted[name]--; l.parted[name] == 0 {
		delete(l.parted, name)
	}
	return nil
}

// allConfirmed reports whether Redis has confirmed all that is to be subscribed.
func (l *link) allConfirmed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unconfirmed.Load() == 0 && len(l.joining) == 0
}
