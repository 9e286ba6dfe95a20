package pusher

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Apps is the list of all applications. The zero value is empty. It is safe for concurrent
// use.
type Apps struct{ list atomic.Pointer[[]*app] }

// app is an App with a fixed id, key and prefix. Its clients speak one Protocol, which
// remains equal while other settings change.
type app struct {
	// Immutable.
	id, key, prefix string
	publisher       gateway.Principal // identity of the app's backend

	settings    atomic.Pointer[App] // nil once the app has been removed
	connections atomic.Int64        // on this node
}

var _ gateway.Room = (*app)(nil)

// Take counts a new connection. It returns an error if the app has too many.
func (a *app) Take() error {
	settings, now := a.settings.Load(), a.connections.Add(1)
	if settings != nil && settings.Connections > 0 && now > int64(settings.Connections) {
		a.connections.Add(-1)
		return refusedWith(overQuota, "the app has as many connections as limits.connections allows")
	}
	return nil
}

// Give counts a connection as closed.
func (a *app) Give() { a.connections.Add(-1) }

// Set replaces the list of apps. If the list is invalid, Set returns an error and changes
// nothing. Clients of an app that was removed, or got another key or prefix, are disconnected
// when they next send or receive something.
func (all *Apps) Set(list []App) error {
	if err := checkApps(list); err != nil {
		return err
	}
	before := all.all()
	after := make([]*app, len(list))
	for i := range list {
		settings := &list[i]
		after[i], _ = all.find(func(a *app) bool {
			return a.id == settings.ID && a.key == settings.Key && a.prefix == settings.Prefix
		})
		if after[i] == nil {
			after[i] = newApp(settings)
		}
		after[i].settings.Store(settings)
	}
	all.list.Store(&after)
	for _, a := range before {
		if !slices.Contains(after, a) {
			a.settings.Store(nil)
		}
	}
	return nil
}

func newApp(settings *App) *app {
	return &app{
		id: settings.ID, key: settings.Key, prefix: settings.Prefix,
		publisher: gateway.Principal{Key: "pusher:" + settings.ID, Scope: &gateway.Scope{
			Channels: []string{settings.Prefix + "*", "@" + settings.Prefix + "*"}, Read: true, Publish: true,
		}},
	}
}

func checkApps(list []App) error {
	ids, keys, prefixes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range list {
		a := &list[i]
		if err := a.Validate(); err != nil {
			return fmt.Errorf("pusher.apps[%d]: %w", i, err)
		}
		within := func(other string) bool {
			return strings.HasPrefix(other, a.Prefix) || strings.HasPrefix(a.Prefix, other)
		}
		switch {
		case ids[a.ID]:
			return fmt.Errorf("pusher.apps[%d]: another app has the id %q", i, a.ID)
		case keys[a.Key]:
			return fmt.Errorf("pusher.apps[%d]: another app has the key %q", i, a.Key)
		case a.Prefix != "" && slices.ContainsFunc(slices.Collect(maps.Keys(prefixes)), within):
			return fmt.Errorf("pusher.apps[%d]: the prefix %q and another app's begin alike: their channels would mix", i, a.Prefix)
		}
		ids[a.ID], keys[a.Key] = true, true
		if a.Prefix != "" {
			prefixes[a.Prefix] = true
		}
	}
	return nil
}

func (all *Apps) all() []*app {
	if list := all.list.Load(); list != nil {
		return *list
	}
	return nil
}

// byKey and byID return an app and its current settings, or nil if there is none.
func (all *Apps) byKey(key string) (*app, *App) {
	return all.find(func(a *app) bool { return a.key == key })
}

func (all *Apps) byID(id string) (*app, *App) {
	return all.find(func(a *app) bool { return a.id == id })
}

func (all *Apps) find(is func(*app) bool) (*app, *App) {
	for _, a := range all.all() {
		if settings := a.settings.Load(); settings != nil && is(a) {
			return a, settings
		}
	}
	return nil, nil
}

// channelOf returns the gateway's name for one of the app's channels.
func (a *app) channelOf(name string) string {
	if user, ok := strings.CutPrefix(name, userPrefix); ok {
		return "@" + a.prefix + user
	}
	return a.prefix + name
}

// nameOf returns the app's name for one of the gateway's channels. It does not change the
// name of a channel that is not the app's.
func (a *app) nameOf(channel string) string {
	if user, ok := strings.CutPrefix(channel, "@"+a.prefix); ok {
		return userPrefix + user
	}
	return strings.TrimPrefix(channel, a.prefix)
}

// userOf returns the gateway's name for one of the app's users; idOf does the opposite.
func (a *app) userOf(id string) string { return a.prefix + id }

func (a *app) idOf(user string) string { return strings.TrimPrefix(user, a.prefix) }

// has reports whether one of the gateway's channels belongs to the app, has a valid name in
// Pusher and is not the channel of a user.
func (a *app) has(channel string) bool {
	name, is := strings.CutPrefix(channel, a.prefix)
	return is && !rules.IsPersonal(channel) && checkName(name) == ""
}
