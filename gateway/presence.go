package gateway

import (
	"context"
	"fmt"
	"time"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

// Members returns the members of a channel in the whole cluster, sorted by user. They include
// all who joined on this node before the call, and users who linger without a session.
func (g *Gateway) Members(ctx context.Context, p *Principal, channel string) ([]Member, error) {
	return g.members(ctx, p, nil, channel)
}

// members is like Members, on behalf of session s if that is not nil.
func (g *Gateway) members(ctx context.Context, p *Principal, s *Session, channel string) ([]Member, error) {
	if err := g.permit(ctx, p, s, channel); err != nil {
		return nil, err
	}
	if g.attendance == nil || !g.rule(channel).Presence {
		return nil, failf(NotFound, "%q has no presence", channel)
	}
	roster, err := g.attendance.Members(ctx, channel)
	if err != nil {
		return nil, fmt.Errorf("presence on %q: %w", channel, err)
	}
	members := make([]Member, len(roster.Members))
	for i, m := range roster.Members {
		members[i] = Member(m)
	}
	return members, nil
}

// awaitList waits while a list of very many members, larger than an outbox may be, has yet to be
// written to the client: a second one would be too much (see outbox.Outbox.Push). It returns an
// error if that takes longer than atMost.
func (s *Session) awaitList(ctx context.Context, atMost time.Duration) error {
	boxes := &s.gateway.outboxes
	room := s.out.LargeRoom(boxes)
	for end := time.Now().Add(atMost); room != nil; room = s.out.LargeRoom(boxes) {
		if pause.Await(ctx, room, time.Until(end)) != nil {
			return errManyReads
		}
	}
	return nil
}

func (s *Session) askPresence(ctx context.Context, c Presence) error {
	if err := s.awaitList(ctx, hub.ReadTimeout); err != nil {
		return err
	}
	turn := s.reader()
	if err := turn.begin(ctx); err != nil {
		return err
	}
	defer turn.End()
	name := s.special.channelOf(c.Channel)
	members, err := s.gateway.members(ctx, s.whoOn(name), s, name)
	if err != nil {
		return err
	}
	turn.oweMembers(len(members))
	s.tell(Members{ID: c.ID, Channel: name, Members: members})
	return nil
}
