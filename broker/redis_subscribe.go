package broker

import (
	"context"
	"errors"
	"time"
)

// subscribeBatch is how many channels one command subscribes or unsubscribes at most.
const subscribeBatch = 1000

// join begins a request: its names will be subscribed with the next commands.
func (p *partition) join(q *request) {
	q.settled, q.answers = make(chan struct{}), p.link().answers.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	q.err = p.err
	if q.err == nil {
		for _, name := range q.names {
			p.joinOne(q, name)
		}
		p.link().poke()
	}
	if q.due == 0 {
		close(q.settled)
	}
}

func (p *partition) joinOne(q *request, name string) {
	s := p.subscriptions[name]
	switch {
	case s == nil:
		s = &subscription{request: q}
		p.subscriptions[name] = s
		p.joining = append(p.joining, joiner{name, s})
		q.due++
	case !s.known() && s.request != q:
		q.err = errBusy
	}
	s.leaves = 0
}

// errBusy is the error of callers that do not serialize their calls for a channel.
var errBusy = errors.New("somebody else is subscribing")

// answerLooks is how often per answerTimeout a request checks whether the link gets
// answers.
const answerLooks = 4

// wait returns once Redis has confirmed all requests, or some of each of the others cannot be
// confirmed: those have failed. Behind many other requests they may wait for long, while Redis
// answers those.
func (all requests) wait(ctx context.Context) {
	ticker := time.NewTicker(answerTimeout / answerLooks)
	defer ticker.Stop()
	for _, q := range all {
		for q.waits() {
			select {
			case <-q.settled:
			case <-ctx.Done():
				q.failed = ctx.Err()
			case <-ticker.C:
				for _, q := range all {
					q.look()
				}
			}
		}
	}
}

func (q *request) waits() bool {
	select {
	case <-q.settled:
		q.failed = q.err
		return false
	default:
		return q.failed == nil
	}
}

// look fails a request that waits if its link gets no answer at all for answerTimeout. Messages
// do not count as answers: they may arrive although nothing that we send does.
func (q *request) look() {
	if !q.waits() {
		return
	}
	q.silent++
	if now := q.partition.link().answers.Load(); now != q.answers {
		q.answers, q.silent = now, 0
	}
	if q.silent == answerLooks {
		q.partition.link().suspect()
		q.failed = errNoAnswer
	}
}

// giveUp ends the subscriptions of a request that Redis has not confirmed, and adds them to
// not with the reason why.
func (p *partition) giveUp(q *request, not NotSubscribed, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range q.names {
		s := p.subscriptions[name]
		if s != nil && s.known() && s.leaves == 0 {
			continue
		}
		not[name[len(p.prefix):]] = why
		if s != nil && s.request == q {
			p.part(name, s)
		}
	}
}

// unsubscribe ends a subscription after the linger time, unless it is subscribed again.
func (p *partition) unsubscribe(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.subscriptions[name]
	if s == nil || s.leaves != 0 {
		return
	}
	s.leaves = time.Since(p.born) + p.linger
	p.lingering = append(p.lingering, lingerer{name, s.leaves})
}

// endLingering ends the subscriptions whose linger is over. The caller must hold mu.
func (p *partition) endLingering() {
	now := time.Since(p.born)
	n := 0
	for n < len(p.lingering) && p.lingering[n].leaves <= now {
		one := p.lingering[n]
		if s := p.subscriptions[one.name]; s != nil && s.leaves == one.leaves {
			p.part(one.name, s)
		}
		n++
	}
	p.lingering = p.lingering[n:]
}

// part ends a subscription now. The caller must hold mu.
func (p *partition) part(name string, s *subscription) {
	s.ended = true
	delete(p.subscriptions, name)
	if s.sent || s.known() { // what was subscribed before an attempt may still be so
		p.parting = append(p.parting, name)
		p.link().poke()
	}
}

// refused says that Redis has refused to unsubscribe names. They are tried again on the next
// beat, except those that have been subscribed again. Beyond mostUnparted they are forgotten:
// what Redis still sends for them is ignored.
func (p *partition) refused(by *carrier, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier.Load() != by {
		return
	}
	if p.unparted == nil {
		p.unparted = make(map[string]struct{})
	}
	for _, name := range names {
		if len(p.unparted) < mostUnparted {
			p.unparted[name] = struct{}{}
		}
	}
}

const mostUnparted = 10_000

// nextSending returns the names that a link must now unsubscribe and then subscribe. It
// returns subscribes only when all earlier ones are confirmed, so that those of many
// callers share a command. life must be passed to confirmed.
func (p *partition) nextSending(by *carrier) (part []string, join []joiner, life uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subscribes(by) {
		return nil, nil, 0
	}
	p.endLingering()
	part, p.parting = p.parting, nil
	if p.unconfirmed > 0 {
		return part, nil, p.life
	}
	taken := 0
	join = make([]joiner, 0, min(len(p.joining), subscribeBatch))
	for taken < len(p.joining) && len(join) < subscribeBatch {
		if j := p.joining[taken]; !j.ended {
			j.sent = true
			join = append(join, j)
		}
		taken++
	}
	p.joining = p.joining[taken:]
	p.restoring = max(0, p.restoring-taken)
	p.unconfirmed = len(join)
	return part, join, p.life
}

// confirmed says that Redis has confirmed a batch of subscribes.
func (p *partition) confirmed(by *carrier, life uint64, batch []joiner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.subscribes(by) || p.life != life {
		return
	}
	p.unconfirmed = 0
	p.link().poke()
	for _, j := range batch {
		if !j.ended && !j.known() {
			j.request.countDown()
			j.request = nil
		}
	}
}
