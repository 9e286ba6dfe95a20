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

// App describes an application. ID, Key and Secret are required. For all other fields, the
// zero value is the default.
type App struct {
	ID     string // in the paths of the HTTP API
	Key    string // in the paths of clients; not secret
	Secret string // signs the backend's requests and what clients may do

	// Prefix precedes the names of the app's channels and users in the gateway, which
	// keeps them apart from those of other apps. If it is empty, the app shares its
	// channels with the clients of other protocols. It ends in a colon, which Pusher does
	// not allow in the names of channels.
	Prefix string

	Disabled       bool // refuse clients and requests
	NoClientEvents bool // do not let clients publish, whatever the rules say
	TLSOnly        bool // refuse clients without TLS to the gateway or its load balancer
	EventBytes     int  // maximum size of an event's data; 0 means 10 KB
	Connections    int  // maximum per node; 0 means only the gateway's limit

	SubscriptionCounts bool      // tell clients how many subscriptions a channel has
	Watchlists         bool      // tell clients whether the users they watch are online
	Webhooks           []Webhook // tell the app's backend about events
}

// Validate returns an error that says what is wrong with the app, or nil.
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
	return DefaultEventBytes
}

// DefaultEventBytes is the maximum size of an event's data unless an app has another.
const DefaultEventBytes = 10 << 10

// Webhook is a URL to which events are sent, in Pusher's form: a POST with
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
// A 2xx answer confirms all events. After any other answer they are sent again.
type Webhook struct {
	URL    string
	Events []string // names of the events to send; empty for all
}

// backends returns the app's webhooks, with those of the same URL as one.
func (a *App) backends() (list []Webhook) {
	for _, w := range a.Webhooks {
		at := slices.IndexFunc(list, func(b Webhook) bool { return b.URL == w.URL })
		switch {
		case at < 0:
			list = append(list, w)
		case len(list[at].Events) == 0 || len(w.Events) == 0:
			list[at].Events = nil
		default:
			list[at].Events = slices.Concat(list[at].Events, w.Events)
		}
	}
	return list
}

// webhookEvents maps the names of all webhook events to the gateway's events.
var webhookEvents = map[string]gateway.HookEvent{
	"channel_occupied":   gateway.OnChannelOccupied,
	"channel_vacated":    gateway.OnChannelVacated,
	"member_added":       gateway.OnMemberJoined,
	"member_removed":     gateway.OnMemberLeft,
	"client_event":       gateway.OnPublished,
	"cache_miss":         gateway.OnNothingRecent,
	"subscription_count": gateway.OnSessionsChanged,
}

// Wants reports whether the webhook is to receive an event of the gateway.
func (w *Webhook) Wants(event gateway.HookEvent) bool { return w.wanted()[event] != "" }

// wanted returns the events that the webhook is to receive, with their names.
func (w *Webhook) wanted() map[gateway.HookEvent]string {
	wanted := make(map[gateway.HookEvent]string)
	for name, event := range webhookEvents {
		if len(w.Events) == 0 || slices.Contains(w.Events, name) {
			wanted[event] = name
		}
	}
	return wanted
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
