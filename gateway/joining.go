package gateway

import (
	"tidegate/broker"
	"tidegate/gateway/internal/hub"
)

// join is a session's way onto a channel.
type join struct {
	hub.Join
	session *Session
	sub     *subscription // nil: there was no place for it
	reply   Subscribed

	unplaced bool // the client is not told where it is

	collected *[]Subscribed // where the reply goes; nil: to the client
}

var _ hub.Joiner = (*join)(nil)

// Reply returns a function that tells the client that it is on the channel, or collects that.
func (j *join) Reply(start hub.Start) (reply func() (said bool)) {
	r := &j.reply
	r.Resumed, r.Recovered, r.Position, r.After = start.Resumed, start.Recovered, start.Position, start.After
	r.Members = membersOf(start.Members)
	if j.unplaced {
		r.Position, r.After = broker.Position{}, broker.Position{}
	}
	if j.collected != nil {
		return func() bool {
			*j.collected = append(*j.collected, *r)
			return true
		}
	}
	frame, said := j.session.frameOf(*r)
	return func() bool {
		j.session.push(frame)
		return said
	}
}

// Say tells the client news of the channel. That there is nothing recent is told to the
// backends that want to hear of it, too.
func (j *join) Say(n hub.News) (said bool) {
	if n.Kind == hub.NothingRecent {
		j.noteNothingRecent()
	}
	frame, err := j.session.dialect.EncodeNews(&n)
	if d, due := hub.DismissalFor(frame, err); due {
		j.session.gateway.soon(ReasonOf(d.Why), func() { j.sub.Dismiss(d) })
		return false
	}
	j.session.push(frame.Data)
	return true
}

func (j *join) noteNothingRecent() {
	s, channel := j.session, j.reply.Channel
	if !s.who().Backend() && s.gateway.receivers.hear(OnNothingRecent, channel) {
		s.gateway.post(OnNothingRecent, broker.Notice{Channel: channel, User: j.sub.who().User, Session: s.id})
	}
}

// Turn returns how the session gets its turn to have a history read.
func (j *join) Turn() hub.Turn { return j.session.reader() }

// WhenAttached has goOn run when the session has its connection.
func (j *join) WhenAttached(goOn func()) {
	s := j.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.Attached() {
		s.goOn(goOn)
		return
	}
	if s.waiting == nil {
		s.waiting = new([]func())
	}
	*s.waiting = append(*s.waiting, goOn)
}

// goOnAttached lets go on what has waited for the session's connection.
func (s *Session) goOnAttached() {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	if waiting == nil {
		return
	}
	for _, goOn := range *waiting {
		s.goOn(goOn)
	}
}
