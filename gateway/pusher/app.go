package pusher

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// App is an application, as an operator describes it. ID, Key and Secret are required;
// the zero value of everything else is its default.
type App struct {
	ID     string // in the paths of the HTTP API
	Key    string // in the paths of clients; no secret
	Secret string // of its backend: signs what clients may do, and requests

	// Prefix comes before the names of the app's channels and users in the gateway, so
	// that no other app has the same. Empty: it shares channels with all clients of
	// other kinds. It ends in a colon, which no channel of Pusher's has in its name.
	Prefix string

	Disabled       bool // clients and requests are refused
	NoClientEvents bool // clients may not publish, whatever the rules say
	TLSOnly        bool // clients that do not come over TLS, to the gateway or its balancer, are refused
	EventBytes     int  // of an event's data; 0: 10 KB
	Connections    int  // at once, on each node; 0: no limit but the gateway's

	SubscriptionCounts bool      // clients are told how many are on a channel
	Watchlists         bool      // clients are told whether the users whom they watch are online
	Webhooks           []Webhook // where its backend is told what happens
}

// Validate returns what is wrong with an app.
func (a *App) Validate() error {
	switch {
	case !isToken(a.ID):
		return fmt.Errorf("id is %q: want letters, digits, _ and - only", a.ID)
	case !isToken(a.Key):
		return fmt.Errorf("key is %q: want letters, digits, _ and - only", a.Key)
	case a.Secret == "":
		return fmt.Errorf("secret is missing: give secret or secret_file")
	case a.Prefix != "" && (!strings.HasSuffix(a.Prefix, ":") || strings.ContainsAny(a.Prefix, "*@#") || rules.CheckChannel(a.Prefix) != nil):
		return fmt.Errorf("prefix is %q: want a name such as shop: that ends in a colon", a.Prefix)
	case a.EventBytes < 0:
		return fmt.Errorf("limits.event_bytes is negative: %d", a.EventBytes)
	case a.Connections < 0:
		return fmt.Errorf("limits.connections is negative: %d", a.Connections)
	}
	for i := range a.Webhooks {
		if err := a.Webhooks[i].validate(); err != nil {
			return fmt.Errorf("webhooks[%d].%w", i, err)
		}
	}
	return nil
}

func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return isOdd(r) || strings.ContainsRune("=@,.;", r) }) < 0
}

func (a *App) eventBytes() int {
	if a.EventBytes > 0 {
		return a.EventBytes
	}
	return defaultEventBytes
}

const defaultEventBytes = 10 << 10

// Webhook is where an app's backend is told what happens, in Pusher's form: a POST with
//
//	X-Pusher-Key: KEY
//	X-Pusher-Signature: the body's (see sign)
//	{"time_ms":1767225600123,"events":[{"name":"channel_occupied","channel":"news"}, …]}
//
//	channel_occupied  channel_vacated  cache_miss   channel
//	member_added  member_removed                    channel, user_id
//	client_event                                    channel, event, data, socket_id, user_id
//	subscription_count                              channel, subscription_count
//
// An answer of 2xx says that all were taken. With any other they are sent again.
type Webhook struct {
	URL    string
	Events []string // by name; empty: all
}

// WebhookEvents are the names of all events, and what of the gateway's they tell.
var webhookEvents = map[string]gateway.HookEvent{
	"channel_occupied":   gateway.OnChannelOccupied,
	"channel_vacated":    gateway.OnChannelVacated,
	"member_added":       gateway.OnMemberJoined,
	"member_removed":     gateway.OnMemberLeft,
	"client_event":       gateway.OnPublished,
	"cache_miss":         gateway.OnNothingRecent,
	"subscription_count": gateway.OnSessionsChanged,
}

// Wants reports whether the webhook is told of an event of the gateway's.
func (w *Webhook) Wants(event gateway.HookEvent) bool {
	for name, of := range webhookEvents {
		if of == event && (len(w.Events) == 0 || slices.Contains(w.Events, name)) {
			return true
		}
	}
	return false
}

func (w *Webhook) validate() error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("url is no URL of a backend: want one such as https://app.example.com/pusher")
	}
	for _, name := range w.Events {
		if _, known := webhookEvents[name]; !known {
			return fmt.Errorf("events names %q, which is none of Pusher's", name)
		}
	}
	return nil
}
