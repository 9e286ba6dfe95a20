package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/rates"
	"tidegate/gateway/rules"
)

// Users acts on the sessions of users, on all nodes of the cluster. All methods are safe for
// concurrent use.
type Users struct {
	// Immutable.
	nodes   *Nodes
	denials *Denials
	budget  *Budget
	finding *rates.Bucket // limits concurrent calls of FindSession
}

// SessionInfo describes an open session.
type SessionInfo struct {
	Session   string    `json:"session"`
	Node      string    `json:"node"`
	Transport string    `json:"transport"`
	Protocol  string    `json:"protocol"`
	Channels  []string  `json:"channels"` // sorted
	Since     time.Time `json:"since"`    // when it was opened
}

// mostFinding is the most sessions that a node looks for at a time. Each search is a question
// to all nodes, and must leave room for bans and other requests of operators.
const mostFinding = 64

// Sessions returns the sessions of a user in the whole cluster, oldest first. It returns an
// error unless every live node has answered.
func (u *Users) Sessions(ctx context.Context, user string) (sessions []SessionInfo, err error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	err = askAll(ctx, u.nodes, findSessions, errand{Whose: Whose{User: user}}, func(found []SessionInfo) {
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

// Whose selects sessions of a user: all, one, or all but some.
type Whose struct {
	User    string   `json:"user,omitempty"`
	Session string   `json:"session,omitempty"` // only this session; empty: all
	Except  []string `json:"except,omitempty"`  // without these
}

// Grant is a subscription that a backend gives to sessions.
type Grant struct {
	Channel string    `json:"channel,omitempty"`
	Until   time.Time `json:"until,omitzero"` // when the subscription ends; zero: with the session

	// What a session gets with its subscription. If any of these is set, a session that is
	// already on the channel is not reached, which is an error.
	Info   json.RawMessage `json:"info,omitempty"`   // shown with the user on the channel; nil: the same as elsewhere
	Data   json.RawMessage `json:"data,omitempty"`   // sent to the client with it (Subscribed.Data); nil: nothing
	Cursor string          `json:"cursor,omitempty"` // first send everything published after it; empty: live messages only

	Unseen   bool `json:"unseen,omitempty"`   // the session is not shown in presence, and neither joins nor leaves
	Unaware  bool `json:"unaware,omitempty"`  // the session is not told who joins and leaves
	Unplaced bool `json:"unplaced,omitempty"` // the client is not told its position, so that it cannot resume
}

// bare reports whether sessions that are already on the channel can have the grant, too.
func (g *Grant) bare() bool {
	return g.Info == nil && g.Data == nil && g.Cursor == "" && !g.Unseen && !g.Unaware && !g.Unplaced
}

// Disconnect ends sessions of a user, with the Reason Disconnected. It returns the number of
// sessions reached, even with an error, which means that there may be others. A session that
// opens during the call may escape: use a ban (Denials.Deny) or the connect webhook to keep
// a user out.
func (u *Users) Disconnect(ctx context.Context, of Whose) (reached int, err error) {
	return u.reach(ctx, disconnectUser, errand{Whose: of})
}

// Subscribe subscribes sessions of a user to a channel, whatever its rule says. Their clients
// get a Subscribed without an ID. It returns the number of sessions that are on the channel
// now, even with an error, which means that others may not be. A session that opens during
// the call may be left out: to include later sessions, use the token (Principal.Channels).
func (u *Users) Subscribe(ctx context.Context, of Whose, to Grant) (reached int, err error) {
	if err := checkOtherChannel(to.Channel); err != nil {
		return 0, err
	}
	return u.reach(ctx, subscribeUser, errand{Whose: of, Grant: to})
}

// Unsubscribe removes sessions of a user from a channel. Their clients get an Unsubscribed
// without an ID; a session that is for this channel only ends. It returns the number of
// sessions removed, even with an error, which means that others may still be on the channel.
// A session that subscribes during the call may stay.
func (u *Users) Unsubscribe(ctx context.Context, of Whose, channel string) (reached int, err error) {
	if err := checkOtherChannel(channel); err != nil {
		return 0, err
	}
	return u.reach(ctx, unsubscribeUser, errand{Whose: of, Grant: Grant{Channel: channel}})
}

// Expire makes sessions end at the given time, rather than when their tokens expire, with
// the Reason TokenExpired; zero means never. If a client renews its token, the new token's
// expiry applies. It returns what Disconnect returns.
func (u *Users) Expire(ctx context.Context, of Whose, at time.Time) (reached int, err error) {
	return u.reach(ctx, expireSessions, errand{Whose: of, Grant: Grant{Until: at}})
}

// reach runs an errand for sessions of a user and returns how many it reached.
func (u *Users) reach(ctx context.Context, topic string, e errand) (reached int, err error) {
	if err := checkUser(e.User); err != nil {
		return 0, err
	}
	err = askAll(ctx, u.nodes, topic, e, func(n int) { reached += n })
	return reached, err
}

// checkOtherChannel returns an error unless a backend may subscribe users to the channel and
// remove them: the name must be valid and not that of a personal channel.
func checkOtherChannel(name string) error {
	if err := rules.CheckChannel(name); err != nil {
		return ErrorOf(err)
	}
	if rules.IsPersonal(name) {
		return failf(Forbidden, "%q is a personal channel: its user's sessions are on it always, and nobody else's", name)
	}
	return nil
}
