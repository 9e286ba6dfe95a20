package pusher

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

// watching is an app with watchlists enabled.
func watching() App {
	app := shop
	app.Watchlists = true
	return app
}

// signsIn sends a sign-in with a signature from the app's backend.
func (p *peer) signsIn(a App, socket, user string, watchlist ...string) {
	p.t.Helper()
	data, _ := json.Marshal(map[string]any{"id": user, "watchlist": watchlist})
	auth := a.Key + ":" + sign(a.Secret, signInText(socket, string(data)))
	p.say(fmt.Sprintf(`{"event":"pusher:signin","data":{"auth":%q,"user_data":%q}}`, auth, data))
}

func many(users int) (list []string) {
	for i := range users {
		list = append(list, fmt.Sprint("user", i))
	}
	return list
}

func TestOfficial_Watchlists(t *testing.T) {
	folder := officialPackages(t)
	_, host := startPair(t, gateway.Config{PresenceLinger: 500 * time.Millisecond}, watching())
	runOfficial(t, folder, host, "watchlist.test.mjs")
}

// Watched users do not count toward a connection's maximum number of channels.
func TestWatchlist_IsBounded(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.ChannelsPerSession = 3 // two are taken: the user's personal and online channels
	n := startNode(t, gateway.Config{Limits: limits}, watching())
	p, socket := n.connect(shop)
	p.signsIn(shop, socket, "alice", many(101)...)
	if f := p.finds("event", "pusher:error"); !strings.Contains(fmt.Sprint(f), "at most 100") {
		t.Errorf("heard %v", f)
	}
	p.signsIn(shop, socket, "alice", "bob", "a b")
	if f := p.finds("event", "pusher:error"); !strings.Contains(fmt.Sprint(f), "watchlist") {
		t.Errorf("heard %v", f)
	}
	p.signsIn(shop, socket, "alice", many(100)...)
	for range 100 {
		p.finds("event", "pusher_internal:watchlist_events")
	}
	p.say(`{"event":"pusher:subscribe","data":{"channel":"news"}}`)
	p.finds("event", "pusher_internal:subscription_succeeded")
	p.say(`{"event":"pusher:subscribe","data":{"channel":"more"}}`)
	if f := p.finds("event", "pusher:subscription_error"); !strings.Contains(fmt.Sprint(f), "429") {
		t.Errorf("heard %v", f)
	}
}

func TestWatchlist_HasItsRate(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecond = 20
	n := startNode(t, gateway.Config{Limits: limits}, watching())
	p, socket := n.connect(shop)
	for range 100 { // each watches 100 users; together they cost 1100 commands
		p.signsIn(shop, socket, "alice", many(100)...)
	}
	if f := p.finds("event", "pusher:error"); fmt.Sprint(f["data"].(map[string]any)["code"]) != "4301" {
		t.Errorf("heard %v", f)
	}
}

// Only the server can subscribe a connection to an online channel or unsubscribe it.
func TestWatchlist_NobodyHidesOrListensIn(t *testing.T) {
	n := startNode(t, gateway.Config{}, watching())
	p, socket := n.connect(shop)
	watcher, other := n.connect(shop)
	watcher.signsIn(shop, other, "bob", "alice")
	watcher.finds("event", "pusher_internal:watchlist_events")
	p.signsIn(shop, socket, "alice")
	if f := watcher.finds("event", "pusher_internal:watchlist_events"); !strings.Contains(fmt.Sprint(f), "online") {
		t.Errorf("heard %v", f)
	}
	p.say(`{"event":"pusher:unsubscribe","data":{"channel":"#online:alice"}}`)
	p.say(`{"event":"pusher:subscribe","data":{"channel":"#online:bob","auth":""}}`)
	if f := p.finds("event", "pusher:subscription_error"); !strings.Contains(fmt.Sprint(f), "400") {
		t.Errorf("heard %v", f)
	}
	if members, err := n.Members(t.Context(), &gateway.Principal{Key: "backend"}, "#online:alice"); err != nil || len(members) != 1 || members[0].Sessions != 1 {
		t.Errorf("of alice there are %+v, %v", members, err)
	}
	native := n.dial("/ws")
	native.finds("type", "welcome")
	native.say(`{"type":"subscribe","id":1,"channel":"#online:alice"}`)
	if f := native.finds("type", "error"); f.text("code") != "unauthenticated" {
		t.Errorf("a native client heard %v", f)
	}
}

// If the app has not enabled watchlists, nobody is told and nothing is stored in Redis.
func TestWatchlist_IsOffUnlessTheAppSaysSo(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p, socket := n.connect(shop)
	p.signsIn(shop, socket, "alice", "bob")
	p.finds("channel", "#server-to-user-alice")
	sessions, err := n.Users.Sessions(t.Context(), "alice")
	if err != nil || len(sessions) != 1 || fmt.Sprint(sessions[0].Channels) != "[@alice]" {
		t.Errorf("the session is %+v, %v", sessions, err)
	}
}
