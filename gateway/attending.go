package gateway

import (
	"bytes"
	"context"

	"tidegate/gateway/internal/attendance"
)

// attend counts a subscription as what is known of its session now, by the channel's
// rule, or counts it no more. The caller holds ch.mu.
func (ch *channel) attend(sub *subscription) {
	a := ch.hub.gateway.attendance
	if a == nil {
		return
	}
	was, is := sub.as, ch.attendeeOf(sub)
	sub.as = is
	switch {
	case was == nil && is != nil:
		a.Came(ch.name, *is)
	case was != nil && is == nil:
		a.Went(ch.name, attendance.Who{User: was.User, Session: was.Session})
	case was != nil && !(was.User == is.User && was.Session == is.Session && bytes.Equal(was.Info, is.Info)):
		a.Became(ch.name, *was, *is)
	}
}

// attendeeOf returns what a subscription is counted as; nil: nothing asks for it.
func (ch *channel) attendeeOf(sub *subscription) *attendance.Who {
	g, rule := ch.hub.gateway, ch.rule.Load()
	if sub.gone || sub.unseen || !rule.Presence && !g.countsOn(ch.name) {
		return nil
	}
	is := sub.who()
	switch {
	case rule.Presence && rule.BySession:
		return &attendance.Who{User: is.User, Session: sub.session.id, Info: is.Info}
	case rule.Presence && is.User != "":
		return &attendance.Who{User: is.User, Info: is.Info}
	}
	return &g.anybody
}

// isOf reports whether a subscription is one of a member's. The caller holds the
// channel's mu.
func (sub *subscription) isOf(who *attendance.Who) bool {
	return who != nil && sub.as != nil && sub.as.User == who.User && sub.as.Session == who.Session
}

// unfollow undoes follow. The caller holds ch.joining.
func (h *hub) unfollow(ctx context.Context, ch *channel) error {
	if !ch.followed {
		return nil
	}
	ch.followed = false
	return h.gateway.attendance.Unfollow(ctx, ch.name)
}
