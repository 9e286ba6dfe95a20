package config

import (
	"cmp"
	"strconv"
	"strings"

	"tidegate/gateway/pusher"
)

func (a *PusherApp) settings() []setting {
	return []setting{
		{"id", "", text(&a.ID)},
		{"key", "", text(&a.Key)},
		{"secret", "", hidden((*Secret)(&a.Secret))},
		{"secret_file", "", text(&a.SecretFile)},
		{"prefix", "", text(&a.Prefix)},
		{"enabled", "", opposite(&a.Disabled)},
		{"client_events", "", opposite(&a.NoClientEvents)},
		{"tls_only", "", boolean(&a.TLSOnly)},
		{"limits.event_bytes", "", eventBytes(&a.EventBytes)},
		{"limits.connections", "", integer(&a.Connections)},
		{"subscription_counts", "", boolean(&a.SubscriptionCounts)},
		{"watchlists", "", boolean(&a.Watchlists)},
		{"webhooks", "", list(&a.Webhooks, webhookSettings)},
	}
}

func webhookSettings(w *pusher.Webhook) []setting {
	return []setting{
		{"url", "", text(&w.URL)},
		{"events", "", texts(&w.Events)},
	}
}

// eventBytes returns the kind of a size of which 0 means the default.
func eventBytes(p *int) kind {
	k := size(p)
	k.now = strconv.Itoa(cmp.Or(*p, pusher.DefaultEventBytes))
	return k
}

// opposite returns the kind of a boolean that is stored negated.
func opposite(p *bool) kind {
	parse := func(text string) (bool, error) {
		is, err := parseBool(text)
		return !is, err
	}
	return parsed(p, "bool", "true or false", strconv.FormatBool(!*p), parse, "!!bool")
}

// readApps reads the secrets of apps from files and records problems.
func (c *reading) readApps() {
	apps := c.config.Pusher.Apps
	problems := len(c.problems)
	for i := range apps {
		c.readSecret(element("pusher.apps", i)+".secret", (*Secret)(&apps[i].Secret), apps[i].SecretFile)
	}
	if len(c.problems) > problems {
		return
	}
	if err := new(pusher.Apps).Set(c.config.Pusher.List()); err != nil {
		path, what, _ := strings.Cut(err.Error(), ": ")
		c.problem(path, "%s", what)
	}
}
