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
	request *request      // that waits for Redis's word; nil: Redis has confirmed
	leaves  time.Duration // when it ends, by the link's clock, if nobody subscribes again; 0: not
	sent    bool          // on this connection
	missed  bool          // was known when a connection was lost: a gap is to be told
}

func (s *subscription) known() bool { return s.request == nil }

type lingerer struct {
	name   string
	leaves time.Duration
}

// request is the channels of one link that a Subscribe waits for.
type request struct {
	// Fixed at birth.
	link  *link
	names []string // Redis names

	settled chan struct{} // closed when nothing is due; set by join

	// Guarded by the link's mu.
	due int   // channels that Redis has neither confirmed nor refused
	err error // why some will not be confirmed
}

// join makes the request one of the link's.
func (l *link) join(q *request) {
	q.settled = make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	q.err = l.err
	if q.err == nil {
		l.opened = true
		for _, name := range q.names {
			l.joinOne(q, name)
		}
		l.poke()
	}
	if q.due == 0 {
		close(q.settled)
	}
}

func (l *link) joinOne(q *request, name string) {
	s := l.subscriptions[name]
	switch {
	case s == nil:
		s = &subscription{request: q}
		l.subscriptions[name] = s
		l.joining = append(l.joining, name)
		q.due++
	case !s.known() && s.request != q:
		q.err = errBusy
	}
	s.leaves = 0
}

// errBusy is for callers who do not serialise.
var errBusy = errors.New("somebody else is subscribing")

// settle takes away one of the channels that are due. The caller holds the link's
// mu.
func (q *request) settle() {
	if q.due--; q.due == 0 {
		close(q.settled)
	}
}

// answerLooks is how often within answerTimeout a request looks whether Redis has
// said anything to the link.
const answerLooks = 4

// wait returns once Redis has confirmed all, or not all will be confirmed. Behind
// many others a request waits for long, and sees Redis answer them; it is a link
// on which nothing arrives at all that fails it.
func (q *request) wait(ctx context.Context) error {
	timer := time.NewTimer(answerTimeout / answerLooks)
	defer timer.Stop()
	heard, silent := q.link.heard.Load(), 0
	for {
		select {
		case <-q.settled:
			return q.err
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			timer.Reset(answerTimeout / answerLooks)
		}
		silent++
		if now := q.link.heard.Load(); now != heard {
			heard, silent = now, 0
		}
		if silent == answerLooks {
			q.link.suspect()
			return errNoAnswer
		}
	}
}

// giveUp parts with what Redis has not confirmed, and notes why.
func (q *request) giveUp(not *NotSubscribed, why error) {
	l := q.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range q.names {
		s := l.subscriptions[name]
		if s != nil && s.known() && s.leaves == 0 {
			continue
		}
		not.add(name[len(l.prefix):], why)
		if s != nil && s.request == q {
			l.part(name)
		}
	}
}

// unsubscribe ends a subscription after the linger.
func (l *link) unsubscribe(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subscriptions[name]
	if s == nil || s.leaves != 0 {
		return
	}
	s.leaves = time.Since(l.born) + l.broker.config.Linger
	l.lingering = append(l.lingering, lingerer{name, s.leaves})
}

// endLingering parts with the subscriptions that nobody came back to.
func (l *link) endLingering() {
	now := time.Since(l.born)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.lingering) && l.lingering[n].leaves <= now {
		one := l.lingering[n]
		if s := l.subscriptions[one.name]; s != nil && s.leaves == one.leaves {
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

// sending is what a connection is to send now, in this order.
type sending struct {
	part  []string // unsubscribes
	join  []string // subscribes
	mark  bool     // the mark: all that the link had when the connection began is sent
	probe bool     // a ping: somebody waited in vain
}

// nextSending takes what there is to send. Subscribes are taken when all before
// them are confirmed, so that those of many callers meet in one.
func (l *link) nextSending() (now sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now.probe, l.suspected = l.suspected, false
	now.part, l.parting = l.parting, nil
	for _, name := range now.part {
		l.parted[name]++
	}
	if l.unconfirmed.Load() > 0 {
		return now
	}
	taken := 0
	for taken < len(l.joining) && len(now.join) < subscribeBatch {
		name := l.joining[taken]
		if s := l.subscriptions[name]; s != nil && !s.sent {
			s.sent = true
			now.join = append(now.join, name)
		}
		taken++
	}
	l.joining = l.joining[taken:]
	l.restoring = max(0, l.restoring-taken)
	if l.restoring == 0 && !l.marked {
		now.mark, l.marked = true, true
	}
	l.unconfirmed.Store(int32(len(now.join)))
	return now
}

var errUnsubscribed = errors.New("redis ended a subscription by itself")

// confirmed takes Redis's word that the subscriptions of a batch have begun.
func (l *link) confirmed(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unconfirmed.Store(0)
	l.poke()
	for _, name := range names {
		if s := l.subscriptions[name]; s != nil && s.sent && !s.known() {
			s.request.settle()
			s.request = nil
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
