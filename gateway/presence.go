package gateway

import (
	"context"
	"fmt"
	"slices"

	"tidegate/gateway/internal/attendance"
)

// Members returns who is on a channel, in the whole cluster, by user. Who has been
// on it since before on this node is among them, and who lingers, without sessions.
func (g *Gateway) Members(ctx context.Context, p *Principal, channel string) ([]Member, error) {
	return g.members(ctx, p, nil, channel)
}

// members asks on behalf of p, for session s if there is one.
func (g *Gateway) members(ctx context.Context, p *Principal, s *Session, channel string) ([]Member, error) {
	if err := g.permit(ctx, p, s, ToSubscribe, channel); err != nil {
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

func (s *Session) askPresence(ctx context.Context, c Presence) error {
	turn := s.reader()
	if err := turn.begin(ctx); err != nil {
		return err
	}
	defer turn.end()
	name := s.channelOf(c.Channel)
	members, err := s.gateway.members(ctx, s.whoOn(name), s, name)
	if err != nil {
		return err
	}
	s.tell(Members{ID: c.ID, Channel: name, Members: members})
	return nil
}

// attendAll looks anew at all that the session is on, since its user has become
// known, or the rules have changed.
func (s *Session) attendAll() {
	if s.gateway.attendance == nil {
		return
	}
	s.mu.Lock()
	subscriptions := slices.Clone(s.subscriptions)
	s.mu.Unlock()
	for _, sub := range subscriptions {
		sub.channel.mu.Lock()
		if sub.joined || sub.as != nil {
			sub.channel.attend(sub)
		}
		sub.channel.mu.Unlock()
	}
}

// follow makes sure that the joins and leaves of ch are heard here, if its
// audience is to hear of them. When it returns, all that come or go from then
// on is told. The caller holds ch.joining.
func (h *hub) follow(ctx context.Context, ch *channel) error {
	if !h.mustFollow(ch) {
		return nil
	}
	if err := h.gateway.attendance.Follow(ctx, ch.name, &ch.mu, ch.tellChange); err != nil {
		return err
	}
	ch.followed = true
	return nil
}

// mustFollow reports whether the audience of ch is to hear of joins and leaves,
// and this node does not. The caller holds ch.joining.
func (h *hub) mustFollow(ch *channel) bool {
	return !ch.followed && h.gateway.attendance != nil && ch.rule.Load().JoinLeave
}

// followLive is follow for a channel that may have been live when its rule
// changed.
func (h *hub) followLive(ch *channel) {
	ch.joining.Lock()
	defer ch.joining.Unlock()
	if !ch.live {
		return
	}
	if err := h.follow(h.gateway.life, ch); err != nil {
		h.gateway.log.Warn("joins and leaves will be told from the next subscribe on", "error", err)
	}
}

// tellChange tells the audience who came or went, if the rule still says so. The
// caller holds ch.mu.
func (ch *channel) tellChange(c attendance.Change) {
	if !ch.rule.Load().JoinLeave {
		return
	}
	switch c.Kind {
	case attendance.Joined:
		ch.announceOf(Join{Channel: ch.name, User: c.Who.User, Session: c.Who.Session, Info: c.Who.Info}, &c.Who)
	case attendance.Left:
		ch.announceOf(Leave{Channel: ch.name, User: c.Who.User, Session: c.Who.Session}, &c.Who)
	case attendance.Many:
		ch.announce(PresenceChanged{Channel: ch.name})
	}
}

// membersFor returns who is on the channel at this moment, with a subscription that is
// about to join its audience; nil: the audience does not hear who comes and goes. The
// caller holds ch.mu.
func (ch *channel) membersFor(sub *subscription) []Member {
	a := ch.hub.gateway.attendance
	if a == nil || !ch.rule.Load().JoinLeave {
		return nil
	}
	var members []Member
	own := ch.attendeeOf(sub)
	for _, who := range a.Here(ch.name) {
		if own == nil || who.User != own.User || who.Session != own.Session {
			members = append(members, Member{User: who.User, Session: who.Session, Info: who.Info})
		}
	}
	if own != nil && own != &ch.hub.gateway.anybody {
		members = append(members, Member{User: own.User, Session: own.Session, Info: own.Info})
	}
	return members
}
