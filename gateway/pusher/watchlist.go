package pusher

import (
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// A sign-in may name users whom its connection watches. They are online while they have
// a connection, on any node, that has signed in. That is who is on a channel which only
// the server puts sessions on (see rules.OnlineChannel): what a watcher is told of it is
// told here in Pusher's words, first how things stand and then each change.

// aboutWatched returns the user whose channel an event is of, if it is one of those.
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
		return rules.CutOnline(e.Channel) // who comes and goes is made up for
	}
	return "", false
}

// watched tells those who watch a user whether he is online.
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
	return begin("pusher_internal:watchlist_events").json("data", map[string][]change{
		"events": {{status, []string{p.app.idOf(user)}}},
	}).end()
}

func statusOf(user string, members []gateway.Member) string {
	for i := range members {
		if members[i].User == user {
			return "online"
		}
	}
	return "offline"
}
