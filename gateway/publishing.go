package gateway

import (
	"context"

	"tidegate/broker"
	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/rates"
)

// publishing is what a session has published and the broker has not answered yet.
// The session's client may send more meanwhile, so that one that does not wait for
// each answer shares round trips with itself. The zero value is ready; all methods
// may be called concurrently.
type publishing struct {
	mu      lock.Mutex[lock.Publishing]
	due     int           // answers
	bytes   int           // of the payloads
	settled chan struct{} // closed when an answer has come; nil: nobody waits for that
}

// A session waits while the answers that are due are as many as this.
const (
	mostDue      = 64
	mostDueBytes = 256 << 10
)

// begin waits until there is room for one more, and takes it.
func (p *publishing) begin(size int) {
	for settled := p.tryBegin(size); settled != nil; settled = p.tryBegin(size) {
		<-settled
	}
}

func (p *publishing) tryBegin(size int) (settled <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due > 0 && (p.due >= mostDue || p.bytes+size > mostDueBytes) {
		return p.nextSettled()
	}
	p.due++
	p.bytes += size
	return nil
}

// end says that an answer has come.
func (p *publishing) end(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due--
	p.bytes -= size
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
}

// await returns when no answer is due.
func (p *publishing) await() {
	for settled := p.unsettled(); settled != nil; settled = p.unsettled() {
		<-settled
	}
}

func (p *publishing) unsettled() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == 0 {
		return nil
	}
	return p.nextSettled()
}

// nextSettled is called with mu held.
func (p *publishing) nextSettled() <-chan struct{} {
	if p.settled == nil {
		p.settled = make(chan struct{})
	}
	return p.settled
}

// publish sends a message on its way. The client hears when the broker has
// answered; before that publish waits only if too many answers are due.
func (s *Session) publish(ctx context.Context, c Publish) {
	c.Channel = s.channelOf(c.Channel)
	if c.Joined && !s.isOn(c.Channel) {
		s.conclude(c, failf(Forbidden, "subscribe to %q before you publish there", c.Channel))
		return
	}
	size := len(c.Payload)
	if s.publishes == nil && s.mostPublishes > 0 {
		s.publishes = rates.New(rates.Limit{Commands: s.mostPublishes})
	}
	if s.publishes.Take(rates.Cost{Commands: 1}) != rates.Enough {
		s.conclude(c, failf(RateLimited, "more publishes a second than this connection may send: slow down and send it again"))
		return
	}
	if err := s.gateway.TakeInbound(size); err != nil {
		s.conclude(c, err)
		return
	}
	s.publishing.begin(size)
	s.gateway.publish(ctx, s.whoOn(c.Channel), s, c, func(position broker.Position, err error) {
		defer s.gateway.GiveInbound(size)
		defer s.publishing.end(size)
		defer s.gateway.wall.Catch("answer a publish", s.crash)
		if err == nil {
			s.tellPublished(Published{ID: c.ID, Channel: c.Channel, Position: position})
		}
		s.conclude(c, err)
	})
	if size >= longPublish {
		s.Rest()
	}
}

// longPublish is the size of a message that does not wait for what else the client
// has sent: compressed, a few bytes could bring about more than outboxes hold.
const longPublish = 4 << 10

// tellPublished is tell for an event that the broker follows up with a Rest.
func (s *Session) tellPublished(event Published) {
	frame, err := s.dialect.encode(event)
	if err != nil {
		s.gateway.endSoon(s, ReasonOf(err))
		return
	}
	if frame.Data == nil {
		return
	}
	if v := s.out.Push(frame.Data, &s.gateway.outboxes); v == outbox.Wakes {
		s.gateway.line.Park(s)
	} else {
		s.after(v)
	}
}
