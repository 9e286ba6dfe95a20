package pusher

import (
	"slices"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// A sign-in may name users whom the connection watches. A user is online while at least one
// connection, on any node, has signed in as that user. Each user has an online channel, to
// which only the server subscribes sessions (see rules.OnlineChannel). This file translates
// the events of these channels: a watcher learns the current state first, then each change.

// aboutWatched returns the user to whose online channel an event belongs. is is false if the
// event belongs to no such channel.
func aboutWatched(event gateway.Event) (user string, is bool) {
	switch e := event.(type) {
	case gateway.Subscribed:
		return rules.CutOnline(e.Channel)
	case gateway.Join:
		return rules.CutOnline(e.Channel)
	case gateway.Leave:
		return rules.CutOnline(e.Channel)
	case gateway.Message:
		return rules.CutOnline(e.Channel)
	case gateway.Unsubscribed:
		return rules.CutOnline(e.Channel)
	case gateway.Gap:
		return rules.CutOnline(e.Channel) // joins and leaves are repaired, so nothing is lost
	}
	return "", false
}

// watched encodes for the watchers of a user that the user is online or offline. It returns
// nil if an event says neither.
func (p Protocol) watched(user string, event gateway.Event) []byte {
	status := ""
	switch e := event.(type) {
	case gateway.Subscribed:
		if e.Unseen {
			status = statusOf(user, e.Members)
		}
	case gateway.Join:
		if e.User == user {
			status = "online"
		}
	case gateway.Leave:
		if e.User == user {
			status = "offline"
		}
	}
	if status == "" {
		return nil
	}
	type change struct {
		Name  string   `json:"name"`
		Users []string `json:"user_ids"`
	}
	return ownEvent("pusher_internal:watchlist_events", "", map[string][]change{
		"events": {{status, []string{p.app.idOf(user)}}},
	})
}

func statusOf(user string, members []gateway.Member) string {
	if slices.ContainsFunc(members, func(m gateway.Member) bool { return m.User == user }) {
		return "online"
	}
	return "offline"
}
