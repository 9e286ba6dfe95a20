package pusher

import (
	"context"
	"encoding/json"
	"strings"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// gate authorizes an app's connections to do what the app's backend has signed. A session's
// ID is its socket_id.
type gate struct{ app *app }

var _ gateway.Gate = gate{}

const maxUserID = 128

// Admit checks the signature of a subscription to a private or presence channel. For a
// presence channel, it also returns the member's identity from channel_data or, without any,
// that of the user who has signed in.
func (g gate) Admit(_ context.Context, socket string, by *gateway.Principal, c gateway.Subscribe) (gateway.Admission, error) {
	settings := g.app.settings.Load()
	name := g.app.nameOf(c.Channel)
	switch {
	case settings == nil:
		return gateway.Admission{}, fail(gateway.Forbidden, "the app is gone")
	case rules.IsPersonal(c.Channel):
		return gateway.Admission{}, nil // the gateway itself admits only the channel's own user
	}
	if wrong := checkName(name); wrong != "" {
		return gateway.Admission{}, fail(gateway.BadRequest, "%s", wrong)
	}
	if !isSigned(name) {
		return gateway.Admission{}, nil
	}
	if !settings.verify(c.Token, subscriptionText(socket, name, c.Data)) {
		return gateway.Admission{}, fail(gateway.Unauthenticated, "the signature is wrong: sign the socket id, the channel and the channel data with the app's secret")
	}
	if !isPresence(name) {
		return gateway.Admission{Named: true}, nil
	}
	if c.Data == "" && by.User != "" && strings.HasPrefix(by.User, g.app.prefix) {
		return gateway.Admission{Named: true, As: &gateway.Identity{User: by.User, Info: by.Info}}, nil
	}
	member, err := g.memberOf(c.Data)
	return gateway.Admission{Named: true, As: member}, err
}

// memberOf parses channel_data: {"user_id":10,"user_info":{"name":"Mr. Channels"}}.
func (g gate) memberOf(data string) (*gateway.Identity, error) {
	var who struct {
		ID   json.RawMessage `json:"user_id"`
		Info json.RawMessage `json:"user_info"`
	}
	if err := json.Unmarshal([]byte(data), &who); err != nil || broker.Nested([]byte(data)) {
		return nil, fail(gateway.BadRequest, "channel_data must be a JSON object with a user_id, unless the client has signed in")
	}
	var id string
	if json.Unmarshal(who.ID, &id) != nil {
		var number json.Number
		if json.Unmarshal(who.ID, &number) != nil {
			return nil, fail(gateway.BadRequest, "the user_id in channel_data must be a string or a number")
		}
		id = number.String()
	}
	return g.identityOf(id, who.Info)
}

func (g gate) identityOf(id string, info json.RawMessage) (*gateway.Identity, error) {
	user := g.app.userOf(id)
	switch {
	case id == "" || len(id) > maxUserID:
		return nil, fail(gateway.BadRequest, "the user's id must have 1 to %d characters", maxUserID)
	case rules.CheckChannel(rules.OnlineChannel(user)) != nil:
		return nil, fail(gateway.BadRequest, "the user's id %.40q has a space or a character in it that cannot be seen", id)
	case len(info) > gateway.MostInfo:
		return nil, fail(gateway.TooLarge, "the user_info has %d bytes: at most %d are allowed", len(info), gateway.MostInfo)
	}
	return &gateway.Identity{User: user, Info: jsontext.Compact(info)}, nil
}

// SignIn checks the signature of a sign-in and returns the user.
func (g gate) SignIn(_ context.Context, socket string, c gateway.Auth) (gateway.Principal, error) {
	settings := g.app.settings.Load()
	if settings == nil || !settings.verify(c.Token, signInText(socket, c.Data)) {
		return gateway.Principal{}, fail(gateway.Unauthenticated, "the signature is wrong: sign the socket id and the user data with the app's secret")
	}
	var who userData
	if err := json.Unmarshal([]byte(c.Data), &who); err != nil || broker.Nested([]byte(c.Data)) {
		return gateway.Principal{}, fail(gateway.Unauthenticated, "user_data must be a JSON object with an id, which is a string")
	}
	as, err := g.identityOf(who.ID, who.Info)
	if err != nil {
		return gateway.Principal{}, err
	}
	p := gateway.Principal{User: as.User, Info: as.Info}
	if settings.Watchlists {
		p.Online = true
		p.Watched, err = g.watchlistOf(who.Watchlist)
	}
	return p, err
}

// userData is the user data of a sign-in.
type userData struct {
	ID        string          `json:"id"`
	Info      json.RawMessage `json:"user_info"`
	Watchlist []string        `json:"watchlist"` // ids of users
}

const mostWatched = 100 // maximum number of users that a connection may watch

// watchlistOf returns the gateway's names for the users on a watchlist.
func (g gate) watchlistOf(ids []string) ([]string, error) {
	if len(ids) > mostWatched {
		return nil, fail(gateway.BadRequest, "the watchlist has %d ids: at most %d are allowed", len(ids), mostWatched)
	}
	users := make([]string, len(ids))
	for i, id := range ids {
		as, err := g.identityOf(id, nil)
		if err != nil {
			return nil, fail(gateway.BadRequest, "the watchlist: %s", gateway.ErrorOf(err).Message)
		}
		users[i] = as.User
	}
	return users, nil
}
