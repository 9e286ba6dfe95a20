package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidegate/broker"
)

// presence tells the broker which users this node's sessions make present, and
// does what is due there in time. The broker decides who joins and leaves.
//
// However many sessions come and go, one statement at a time is on its way for
// all channels, and what changes meanwhile goes with the next one. Signs of life
// go out for each channel.
type presence struct {
	// Fixed at birth.
	gateway *Gateway
	broker  broker.Presence
	self    broker.Attendant
	period  time.Duration // between signs of life
	wake    chan struct{}

	// Owned by run.
	version  uint64    // of the last attendance
	lingers  []linger  // the oldest first
	attempts int       // to state that have failed in a row
	stateAt  time.Time // when the next may be made; zero: now
	keepAt   time.Time

	// Guarded by mu.
	mu      sync.Mutex
	changed []*channel      // held; the broker does not know all of them
	stating bool            // a statement is on its way
	waiting []chan struct{} // closed when all that was changed before has been stated
	hurried bool            // something may have been missed: look now
}

// linger is a channel that somebody has left, and when that is final.
type linger struct {
	channel string
	ends    time.Time
}

// A sign of life is given often enough for several to be missed before the node
// counts as dead, and for that to be noticed within the lease.
const (
	leaseShare  = 2.0 / 3 // of the lease of the configuration, the broker's one
	lifeSigns   = 6       // within a lease
	lingerGrace = 5 * time.Millisecond

	statePause = 10 * time.Millisecond // between statements, for changes to go together
)

// newPresence returns nil if there is no broker for it.
func newPresence(g *Gateway, b broker.Presence, lease, linger time.Duration) *presence {
	if b == nil {
		return nil
	}
	return &presence{
		gateway: g, broker: b,
		self: broker.Attendant{
			Node:   newName(), // a node that starts anew is another one here, with versions of its own
			Lease:  time.Duration(leaseShare * float64(lease)),
			Linger: linger,
		},
		period: max(lease/lifeSigns, time.Millisecond),
		wake:   make(chan struct{}, 1),
	}
}

// Members returns who is on a channel, in the whole cluster, by user. Who has
// been on it since before on this node is among them, and who lingers, without
// sessions.
func (g *Gateway) Members(ctx context.Context, p *Principal, channel string) ([]Member, error) {
	return g.members(ctx, p, nil, channel)
}

// members asks on behalf of p, for session s if there is one.
func (g *Gateway) members(ctx context.Context, p *Principal, s *Session, channel string) ([]Member, error) {
	if err := g.permit(ctx, p, s, ToSubscribe, channel); err != nil {
		return nil, err
	}
	if g.presence == nil || !g.rule(channel).Presence {
		return nil, failf(NotFound, "%q has no presence", channel)
	}
	if err := g.presence.settle(ctx); err != nil {
		return nil, fmt.Errorf("presence on %q: %w", channel, err)
	}
	roster, err := g.presence.broker.Members(ctx, channel)
	if err != nil {
		return nil, fmt.Errorf("presence on %q: %w", channel, err)
	}
	members := make([]Member, len(roster.Members))
	for i, m := range roster.Members {
		members[i] = Member(m)
	}
	return members, nil
}

func (s *Session) askPresence(ctx context.Context, c Presence) error {
	name := s.channelOf(c.Channel)
	members, err := s.gateway.members(ctx, s.who(), s, name)
	if err != nil {
		return err
	}
	s.tell(Members{ID: c.ID, Channel: name, Members: members})
	return nil
}

// settle returns once the broker knows of all that has changed on this node
// before.
func (p *presence) settle(ctx context.Context) error {
	if err := p.gateway.link.Load().err; err != nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
	}
	p.mu.Lock()
	if len(p.changed) == 0 && !p.stating {
		p.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	p.waiting = append(p.waiting, done)
	p.mu.Unlock()
	p.rouse()
	return await(ctx, done, readTimeout)
}

// hurry says that something may have been missed while the link was away.
func (p *presence) hurry() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.hurried = true
	p.mu.Unlock()
	p.rouse()
}

// queue takes a channel, which is held, to be stated.
func (p *presence) queue(ch *channel) {
	p.mu.Lock()
	p.changed = append(p.changed, ch)
	p.mu.Unlock()
	p.rouse()
}

func (p *presence) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends. Then it states what is left: whoever has not come
// back to another node within the linger leaves, and another node will tell.
func (p *presence) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
			defer cancel()
			if _, err := p.state(last); err != nil {
				p.gateway.log.Warn("users of this node stay present until its lease ends", "error", err)
			}
			return
		case <-p.wake:
		case <-timer.C:
		}
		p.work(ctx)
		timer.Reset(time.Until(p.next()))
	}
}

// work does what is due.
func (p *presence) work(ctx context.Context) {
	if p.takeHurry() {
		p.stateAt, p.keepAt = time.Time{}, time.Time{}
	}
	if !time.Now().Before(p.stateAt) {
		p.stateOrBackOff(ctx)
	}
	if now := time.Now(); !now.Before(p.keepAt) {
		p.keepAt = now.Add(p.period)
		p.keep(ctx)
	}
	p.endLingers(ctx, time.Now())
}

func (p *presence) stateOrBackOff(ctx context.Context) {
	p.stateAt = time.Time{}
	stated, err := p.state(ctx)
	switch {
	case err != nil:
		p.stateAt = time.Now().Add(backoff(p.attempts))
		p.attempts++
	case stated > 0:
		p.stateAt = time.Now().Add(statePause)
		p.attempts = 0
	}
}

// next returns when something is due again.
func (p *presence) next() time.Time {
	next := p.keepAt
	if !p.stateAt.IsZero() && p.stateAt.Before(next) {
		next = p.stateAt
	}
	if len(p.lingers) > 0 && p.lingers[0].ends.Before(next) {
		next = p.lingers[0].ends
	}
	return next
}

func (p *presence) takeHurry() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	hurried := p.hurried
	p.hurried = false
	return hurried
}

// state tells the broker of all that has changed, on how many channels it
// returns. What fails stays changed.
func (p *presence) state(ctx context.Context) (int, error) {
	channels, waiting := p.begin()
	list := make([]broker.Attendance, len(channels))
	for i, ch := range channels {
		p.version++
		list[i] = ch.state(p.version)
	}
	var taken []bool
	var err error
	if len(list) > 0 {
		taken, err = p.broker.Attend(ctx, p.self, list)
	}
	if err != nil {
		taken = make([]bool, len(list))
	}
	p.end(channels, list, taken, waiting)
	return len(list), err
}

func (p *presence) begin() ([]*channel, []chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	channels, waiting := p.changed, p.waiting
	p.changed, p.waiting = nil, nil
	p.stating = len(channels) > 0
	return channels, waiting
}

// end takes back what was not taken, and tells those who wait if all was.
func (p *presence) end(channels []*channel, list []broker.Attendance, taken []bool, waiting []chan struct{}) {
	var release []*channel
	all, now := true, time.Now()
	for i, ch := range channels {
		if taken[i] {
			ch.noteStated(list[i].Version)
			p.noteLinger(list[i], now)
		}
		all = all && taken[i]
		if taken[i] || !ch.unstate(list[i]) {
			release = append(release, ch)
		}
	}
	p.mu.Lock()
	p.stating = false
	if !all {
		p.waiting = append(p.waiting, waiting...)
		waiting = nil
	}
	p.mu.Unlock()
	for _, done := range waiting {
		close(done)
	}
	p.release(release)
}

func (p *presence) release(channels []*channel) {
	if len(channels) == 0 {
		return
	}
	g := p.gateway
	g.background.Go(func() {
		for _, ch := range channels {
			g.hub.letGo(g.life, ch)
		}
	})
}

// noteLinger remembers a channel that somebody has left.
func (p *presence) noteLinger(a broker.Attendance, now time.Time) {
	left := func(m broker.Member) bool { return m.Sessions == 0 }
	if slices.ContainsFunc(a.Members, left) {
		p.lingers = append(p.lingers, linger{a.Channel, now.Add(p.self.Linger + lingerGrace)})
	}
}

// endLingers has the broker look at the channels where a linger has ended.
func (p *presence) endLingers(ctx context.Context, now time.Time) {
	due := make(map[string]struct{})
	n := 0
	for n < len(p.lingers) && !p.lingers[n].ends.After(now) {
		due[p.lingers[n].channel] = struct{}{}
		n++
	}
	p.lingers = p.lingers[n:]
	if len(due) == 0 {
		return
	}
	stays := make([]broker.Stay, 0, len(due))
	for name := range due {
		stays = append(stays, broker.Stay{Channel: name})
	}
	if _, err := p.broker.Keep(ctx, p.self, stays); err != nil {
		p.gateway.log.Debug("lingers end later", "error", err) // with the next sign of life of any node
	}
}

// keep gives a sign of life on every channel, and sees whether the broker knows
// what it should, and this node too.
func (p *presence) keep(ctx context.Context) {
	var channels []*channel
	var stays []broker.Stay
	var before []broker.Position
	p.gateway.hub.each(func(ch *channel) {
		if stay, heard, ok := ch.stay(); ok {
			channels, stays, before = append(channels, ch), append(stays, stay), append(before, heard)
		}
	})
	if len(stays) == 0 {
		return
	}
	standings, err := p.broker.Keep(ctx, p.self, stays)
	if err != nil {
		p.gateway.log.Debug("no sign of life for presence", "error", err)
		return // the link's own check tells of it
	}
	var behind []lag
	for i, ch := range channels {
		if stays[i].Version > 0 && !standings[i].Known {
			ch.restate(stays[i].Version)
		}
		if ch.differs(before[i], standings[i].Position) {
			behind = append(behind, lag{ch, before[i]})
		}
	}
	p.gateway.catchUp(behind)
}
