package hub

import (
	"context"
	"slices"

	"tidegate/gateway/internal/attendance"
)

// anybody stands for a session that is counted without being a member.
var anybody attendance.Who

// attend counts the subscription according to the channel's rule and what is known of its
// session now, or stops counting it. The caller must hold the channel's mu.
func (sub *Subscription) attend() {
	a, name := sub.channel.all.Attendance, sub.channel.name
	if a == nil {
		return
	}
	was, is := sub.as, sub.attendee()
	sub.as = is
	switch {
	case was == nil && is != nil:
		a.Came(name, *is)
	case was != nil && is == nil:
		a.Went(name, attendance.Who{User: was.User, Session: was.Session})
	case was != nil && !was.Equal(is):
		a.Became(name, *was, *is)
	}
}

// attendee returns what the subscription is counted as, or nil if it is not counted.
func (sub *Subscription) attendee() *attendance.Who {
	ch := sub.channel
	rule := ch.rule.Load()
	if sub.gone || sub.terms.Unseen || !rule.Presence && !ch.all.Counts(ch.name) {
		return nil
	}
	is := sub.by.Who()
	switch {
	case rule.Presence && rule.BySession:
		return &is
	case rule.Presence && is.User != "":
		is.Session = ""
		return &is
	}
	return &anybody
}

// Recount updates what the subscription is counted as. It is called when its user has become
// known or the rules have changed.
func (sub *Subscription) Recount() {
	sub.channel.mu.Lock()
	defer sub.channel.mu.Unlock()
	if sub.joined() || sub.as != nil {
		sub.attend()
	}
}

// roll is the list of members that a newcomer is told.
type roll struct {
	*attendance.Roll                 // nil if the channel does not tell joins and leaves
	own              *attendance.Who // the newcomer itself; nil if it does not count
}

// callRoll takes the roll for a newcomer, which must be ended. The caller must hold the channel's
// mu, for the end as well.
func (sub *Subscription) callRoll() (r roll) {
	ch := sub.channel
	if a := ch.all.Attendance; a != nil && ch.rule.Load().JoinLeave {
		r = roll{a.Here(ch.name), sub.attendee()}
	}
	return r
}

// members returns the members in order, the newcomer last. Its cost grows with their number,
// so the caller should not hold ch.mu.
func (r *roll) members() []attendance.Who {
	if r.Roll == nil {
		return nil
	}
	list := slices.DeleteFunc(r.Members, func(who attendance.Who) bool { return r.own != nil && who.Is(r.own) })
	slices.SortFunc(list, attendance.Who.Compare)
	if r.own != nil && r.own != &anybody {
		list = append(list, *r.own)
	}
	return list
}

// end returns the joins and leaves of others since the roll was taken.
func (r *roll) end() (news []News) {
	if r.Roll == nil {
		return nil
	}
	for _, c := range r.End() {
		if r.own == nil || !c.Who.Is(r.own) {
			news = append(news, newsOf(c))
		}
	}
	r.Roll = nil
	return news
}

func newsOf(c attendance.Change) News {
	switch c.Kind {
	case attendance.Joined:
		return News{Kind: Joined, Who: c.Who}
	case attendance.Left:
		return News{Kind: Left, Who: c.Who}
	}
	return News{Kind: ManyChanged}
}

// mustFollow reports whether the audience must be told of joins and leaves that this node
// does not follow yet. The caller must hold ch.joining.
func (ch *Channel) mustFollow() bool {
	return !ch.followed && ch.all.Attendance != nil && ch.rule.Load().JoinLeave
}

// follow makes this node follow the channel's joins and leaves if the audience is to be told
// of them. Once it has returned, every join and leave is told. The caller must hold
// ch.joining.
func (ch *Channel) follow(ctx context.Context) error {
	if !ch.mustFollow() {
		return nil
	}
	if err := ch.all.Attendance.Follow(ctx, ch.name, &ch.mu, ch.tellChange); err != nil {
		return err
	}
	ch.followed = true
	return nil
}

// unfollow undoes follow. The caller must hold ch.joining.
func (ch *Channel) unfollow(ctx context.Context) error {
	if !ch.followed {
		return nil
	}
	ch.followed = false
	return ch.all.Attendance.Unfollow(ctx, ch.name)
}

// followLive is follow for a channel that may have been live when its rule changed.
func (ch *Channel) followLive() {
	ch.joining.Lock()
	defer ch.joining.Unlock()
	if !ch.live {
		return
	}
	if err := ch.follow(ch.all.Life); err != nil {
		ch.all.Log.Warn("joins and leaves will be told from the next subscribe on", "error", err)
	}
}

// tellChange tells the audience who joined or left, if the rule still asks for that. The
// caller must hold ch.mu.
func (ch *Channel) tellChange(c attendance.Change) {
	if !ch.rule.Load().JoinLeave {
		return
	}
	ch.announce(newsOf(c))
}
