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

// Users are those of the whole cluster: what is done with their sessions, on whatever node
// these are. All methods may be called concurrently.
type Users struct {
	// Fixed at birth.
	nodes   *Nodes
	denials *Denials
	budget  *Budget
	finding *rates.Bucket // of FindSession
}

func newUsers(n *Nodes, d *Denials, b *Budget) *Users {
	return &Users{nodes: n, denials: d, budget: b, finding: rates.New(rates.Limit{Reads: mostFinding})}
}

// SessionInfo is what is known of an open session.
type SessionInfo struct {
	Session   string    `json:"session"`
	Node      string    `json:"node"`
	Transport string    `json:"transport"`
	Protocol  string    `json:"protocol"`
	Channels  []string  `json:"channels"` // in order
	Since     time.Time `json:"since"`    // when it was opened
}

// mostFinding are the sessions that a node looks for at a time: each is a question to all
// nodes, of which bans and what else operators ask must find room.
const mostFinding = 64

// Sessions returns the sessions that a user has in the whole cluster, the oldest
// first. Without an error it has heard from every node that is alive.
func (u *Users) Sessions(ctx context.Context, user string) (sessions []SessionInfo, err error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	err = askAll(ctx, u.nodes, findSessions, errand{User: user}, func(found []SessionInfo) {
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

// Whose are a user's sessions, or some of them.
type Whose struct {
	User    string
	Session string   // this one alone; empty: all
	Except  []string // but these
}

func (w Whose) errand() errand { return errand{User: w.User, Session: w.Session, Except: w.Except} }

func (w Whose) isAll() bool { return w.Session == "" && len(w.Except) == 0 }

// Grant is a place on a channel that a backend gives to sessions.
type Grant struct {
	Channel string
	Until   time.Time // zero: for as long as they last

	// What a session is given with its place. One that has a place already is not reached
	// then, which is an error.
	Info   json.RawMessage // shown with the user there; nil: what is shown elsewhere
	Data   json.RawMessage // told with it (Subscribed.Data); nil: nothing
	Cursor string          // all that was published after it comes first; empty: what comes from now on

	Unseen   bool // it is not shown in presence, and neither joins nor leaves
	Unaware  bool // it is not told who joins and leaves
	Unplaced bool // it is not told where it is, so that it cannot resume there
}

// bare reports whether sessions that are on the channel already can have it.
func (g *Grant) bare() bool { return g.Info == nil && g.Data == nil && g.Cursor == "" && !g.hasTerms() }

// hasTerms reports whether they are on the channel otherwise than its rule has it.
func (g *Grant) hasTerms() bool { return g.Unseen || g.Unaware || g.Unplaced }

// Disconnect ends sessions of a user, with the Reason Disconnected. It returns how many it
// has reached, also beside an error, which says that there may be others. A session that
// opens meanwhile may escape it: a user who must not come back needs a ban (Denials.Deny),
// or the connect webhook.
func (u *Users) Disconnect(ctx context.Context, of Whose) (reached int, err error) {
	topic := disconnectSome
	if of.isAll() {
		topic = disconnectUser
	}
	return u.reach(ctx, topic, of.errand())
}

// Subscribe puts sessions of a user on a channel, whatever its rule. They hear so by a
// Subscribed without an ID. It returns how many are on the channel now, also beside an
// error, which says that others may not be. A session that opens meanwhile may be left
// out: what is to hold for later sessions, too, is for the token to say
// (Principal.Channels).
func (u *Users) Subscribe(ctx context.Context, of Whose, to Grant) (reached int, err error) {
	if err := checkOtherChannel(to.Channel); err != nil {
		return 0, err
	}
	topic, e := subscribeSome, of.errand()
	switch {
	case to.hasTerms():
		topic = subscribeTerms
	case !to.bare():
		topic = subscribeWith
	case of.isAll() && to.Until.IsZero():
		topic = subscribeUser
	}
	e.Channel, e.Until, e.Info, e.Data, e.Cursor = to.Channel, to.Until, to.Info, to.Data, to.Cursor
	e.Unseen, e.Unaware, e.Unplaced = to.Unseen, to.Unaware, to.Unplaced
	return u.reach(ctx, topic, e)
}

// Unsubscribe takes sessions of a user off a channel. They hear so by an Unsubscribed
// without an ID; a session that is for this channel alone ends. It returns how many were
// on it, also beside an error, which says that others may still be. A session that
// subscribes meanwhile may stay.
func (u *Users) Unsubscribe(ctx context.Context, of Whose, channel string) (reached int, err error) {
	if err := checkOtherChannel(channel); err != nil {
		return 0, err
	}
	topic, e := unsubscribeSome, of.errand()
	if of.isAll() {
		topic = unsubscribeUser
	}
	e.Channel = channel
	return u.reach(ctx, topic, e)
}

// Expire has sessions end at a time instead of that of their tokens, with the Reason
// TokenExpired; zero: never. A client that renews its token puts the end where that says.
// It returns what Disconnect does.
func (u *Users) Expire(ctx context.Context, of Whose, at time.Time) (reached int, err error) {
	e := of.errand()
	e.Until = at
	return u.reach(ctx, expireSessions, e)
}

// reach runs an errand for a user's sessions and adds up how many were reached.
func (u *Users) reach(ctx context.Context, topic string, e errand) (reached int, err error) {
	if err := checkUser(e.User); err != nil {
		return 0, err
	}
	err = askAll(ctx, u.nodes, topic, e, func(n int) { reached += n })
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
