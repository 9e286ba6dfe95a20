package gateway

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/cluster"
	"tidegate/gateway/rules"
)

// SessionInfo is what is known of an open session.
type SessionInfo struct {
	Session   string    `json:"session"`
	Node      string    `json:"node"`
	Transport string    `json:"transport"`
	Protocol  string    `json:"protocol"`
	Channels  []string  `json:"channels"` // in order
	Since     time.Time `json:"since"`    // when it was opened
}

// Sessions returns the sessions that a user has in the whole cluster, the oldest
// first. Without an error it has heard from every node that is alive.
func (g *Gateway) Sessions(ctx context.Context, user string) ([]SessionInfo, error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	var sessions []SessionInfo
	err := askAll(ctx, g, findSessions, errand{User: user}, func(found []SessionInfo) {
		sessions = append(sessions, found...)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(sessions, func(a, b SessionInfo) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Session, b.Session))
	})
	return sessions, nil
}

// Disconnect ends the sessions that a user has on any node, with the Reason
// Disconnected. It returns how many it has reached, also beside an error, which
// says that there may be others. A session that opens meanwhile may escape it:
// a user who must not come back needs a ban (Deny), or the connect webhook.
func (g *Gateway) Disconnect(ctx context.Context, user string) (reached int, err error) {
	return g.reach(ctx, disconnectUser, errand{User: user})
}

// SubscribeUser puts the sessions that a user has on any node on a channel,
// whatever its rule. They hear so by a Subscribed without an ID. It returns how
// many are on the channel now, also beside an error, which says that others may
// not be. A session that opens meanwhile may be left out: what is to hold for
// later sessions, too, is for the token to say (Principal.Channels).
func (g *Gateway) SubscribeUser(ctx context.Context, user, channel string) (reached int, err error) {
	if err := checkOtherChannel(channel); err != nil {
		return 0, err
	}
	return g.reach(ctx, subscribeUser, errand{User: user, Channel: channel})
}

// UnsubscribeUser takes the sessions that a user has on any node off a channel.
// They hear so by an Unsubscribed without an ID; a session that is for this
// channel alone ends. It returns how many were on it, also beside an error, which
// says that others may still be. A session that subscribes meanwhile may stay.
func (g *Gateway) UnsubscribeUser(ctx context.Context, user, channel string) (reached int, err error) {
	if err := checkOtherChannel(channel); err != nil {
		return 0, err
	}
	return g.reach(ctx, unsubscribeUser, errand{User: user, Channel: channel})
}

// Whose are a user's sessions, or some of them.
type Whose struct {
	User    string
	Session string   // this one alone; empty: all
	Except  []string // but these
}

func (w Whose) errand() errand { return errand{User: w.User, Session: w.Session, Except: w.Except} }

// DisconnectSome is Disconnect for some of a user's sessions.
func (g *Gateway) DisconnectSome(ctx context.Context, of Whose) (reached int, err error) {
	return g.reach(ctx, disconnectSome, of.errand())
}

// SubscribeSome is SubscribeUser for some of a user's sessions.
func (g *Gateway) SubscribeSome(ctx context.Context, of Whose, to Grant) (reached int, err error) {
	if err := checkOtherChannel(to.Channel); err != nil {
		return 0, err
	}
	topic, e := subscribeSome, of.errand() // topics of their own, which a node of a former version does not take for less
	switch {
	case to.hasTerms():
		topic = subscribeTerms
	case !to.bare():
		topic = subscribeWith
	}
	e.Channel, e.Until, e.Info, e.Data, e.Cursor = to.Channel, to.Until, to.Info, to.Data, to.Cursor
	e.Unseen, e.Unaware, e.Unplaced = to.Unseen, to.Unaware, to.Unplaced
	return g.reach(ctx, topic, e)
}

// UnsubscribeSome is UnsubscribeUser for some of a user's sessions.
func (g *Gateway) UnsubscribeSome(ctx context.Context, of Whose, channel string) (reached int, err error) {
	if err := checkOtherChannel(channel); err != nil {
		return 0, err
	}
	e := of.errand()
	e.Channel = channel
	return g.reach(ctx, unsubscribeSome, e)
}

// Expire has sessions end at a time instead of that of their tokens, with the Reason
// TokenExpired; zero: never. A client that renews its token puts the end where that says.
// It returns what Disconnect does.
func (g *Gateway) Expire(ctx context.Context, of Whose, at time.Time) (reached int, err error) {
	e := of.errand()
	e.Until = at
	return g.reach(ctx, expireSessions, e)
}

// reach runs an errand for a user's sessions and adds up how many were reached.
func (g *Gateway) reach(ctx context.Context, topic string, e errand) (reached int, err error) {
	if err := checkUser(e.User); err != nil {
		return 0, err
	}
	err = askAll(ctx, g, topic, e, func(n int) { reached += n })
	return reached, err
}

// checkOtherChannel returns what is wrong with a channel that a backend wants a
// user to be on, or off: it must not be a personal one.
func checkOtherChannel(name string) error {
	if err := rules.CheckChannel(name); err != nil {
		return ErrorOf(err)
	}
	if rules.IsPersonal(name) {
		return failf(Forbidden, "%q is a personal channel: its user's sessions are on it always, and nobody else's", name)
	}
	return nil
}

// findSessionsHere tells of a user's sessions on this node, in parts.
func (g *Gateway) findSessionsHere(user string, say sayer) error {
	var part []SessionInfo
	size := 0
	for _, s := range g.openSessions(user) {
		info := s.info()
		part = append(part, info)
		if size += info.bytes(); size >= cluster.PartBytes {
			if err := say(part); err != nil {
				return err
			}
			part, size = nil, 0
		}
	}
	return say(part)
}

// openSessions returns a user's sessions on this node that have not ended.
func (g *Gateway) openSessions(user string) []*Session {
	return slices.DeleteFunc(g.sessions.of(user), func(s *Session) bool { return !s.out.Open() })
}

func (s *Session) info() SessionInfo {
	return SessionInfo{
		Session: s.id, Node: s.gateway.node, Transport: s.transport, Protocol: s.dialect.protocol.Name(),
		Channels: s.channels(), Since: time.Unix(0, s.opened),
	}
}

// bytes returns about how many bytes i has as JSON.
func (i *SessionInfo) bytes() int {
	n := 200
	for _, name := range i.Channels {
		n += len(name) + 3
	}
	return n
}

// sessionsOf returns those of this node's sessions that an errand is about.
func (g *Gateway) sessionsOf(e errand) []*Session {
	return slices.DeleteFunc(g.openSessions(e.User), func(s *Session) bool {
		return e.Session != "" && s.id != e.Session || slices.Contains(e.Except, s.id)
	})
}

func (g *Gateway) expireHere(e errand) (reached int) {
	sessions := g.sessionsOf(e)
	for _, s := range sessions {
		s.expireAt(e.Until)
	}
	return len(sessions)
}

func (s *Session) expireAt(end time.Time) {
	if !end.IsZero() && !end.After(time.Now()) {
		s.Close(TokenExpired)
		return
	}
	s.mu.Lock()
	p := *s.principal
	p.Expires = end
	s.principal = s.gateway.keep(p)
	s.mu.Unlock()
	s.gateway.expireSoon(s, end)
}

func (g *Gateway) disconnectHere(e errand) (reached int) {
	sessions := g.sessionsOf(e)
	for _, s := range sessions {
		s.Close(Disconnected)
	}
	return len(sessions)
}

// subscribeHere goes on after an error, but not with a broker that is away.
func (g *Gateway) subscribeHere(ctx context.Context, e errand, say sayer) (err error) {
	reached := 0
	for _, s := range g.sessionsOf(e) {
		if s.alone && !s.isOn(e.Channel) {
			continue // see ownChannels
		}
		failure := s.receiveChannel(ctx, Grant{e.Channel, e.Until, e.Info, e.Data, e.Cursor, e.Unseen, e.Unaware, e.Unplaced})
		switch {
		case failure == nil:
			reached++
		case s.out.Open():
			err = failure
		}
		if err != nil && ErrorOf(err).Code == Unavailable {
			break
		}
	}
	return cmp.Or(say(reached), err)
}

// unsubscribeHere takes sessions off a channel.
func (g *Gateway) unsubscribeHere(e errand) (reached int) {
	for _, s := range g.sessionsOf(e) {
		if s.loseChannel(e.Channel) {
			reached++
		}
	}
	return reached
}

func (s *Session) loseChannel(channel string) bool {
	const text = "unsubscribed by the backend"
	if channel == s.special.home {
		s.Close(Disconnected.With(text))
		return true
	}
	if !s.quit(channel) {
		return false
	}
	s.tell(Unsubscribed{Channel: channel, Code: Forbidden, Reason: text})
	return true
}
