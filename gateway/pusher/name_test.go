package pusher

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tidegate/gateway"
)

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"news": true, "private-x": true, "a_-=@,.;Z9": true, strings.Repeat("x", 164): true,
		"": false, strings.Repeat("x", 165): false, "a b": false, "a:b": false, "a/b": false, "a*": false, "é": false, "#x": false, "@alice": false,
	} {
		if wrong := checkName(name); (wrong == "") != good {
			t.Errorf("%q: %q", name, wrong)
		}
	}
}

// oddUsers lists invalid user ids. Invisible characters would make one id look like another.
var oddUsers = []string{
	"", "a b", "a\tb", "a\nb", "a\u0000b", "a\u0007b", "a\u007fb", "a\u00a0b", "a\u2028b", "a\u200bb", "a\u200db", "a\u2060b", "a\ufeffb",
	"a\u202eb", "a\u2066b", "a\u061cb", "a\u115fb", "a\u3164b", "a\ufe0fb", "a\U000e0041b", strings.Repeat("x", 129),
}

// Invalid names of channels and users are refused, from clients and from backends, and the
// connection stays open.
func TestNames_ThatAreNoneAreRefused(t *testing.T) {
	watching := shop
	watching.Watchlists = true
	n := startNode(t, gateway.Config{Limits: gateway.Limits{MessageBytes: 64 << 10}}, watching)
	p, socket := n.connect(watching)
	say := func(event string, data map[string]any, channel string) {
		t.Helper()
		text, _ := json.Marshal(map[string]any{"event": event, "data": data, "channel": channel})
		p.say(string(text))
	}
	refuses := func(what, event string) {
		t.Helper()
		var f frame
		if text := p.hear(); json.Unmarshal([]byte(text), &f) != nil || f.text("event") != event {
			t.Errorf("%s: heard %s, want %s", what, text, event)
		}
	}
	signed := func(text string) string { return shop.Key + ":" + sign(shop.Secret, text) }
	for _, name := range append([]string{"a:b", "a/b", "é", "@alice", "#x", "#server-to-user-", strings.Repeat("x", 165)}, oddUsers[:20]...) {
		what := fmt.Sprintf("%+q", name)
		say("pusher:subscribe", map[string]any{"channel": name}, "")
		refuses(what, "pusher:subscription_error")
		say("pusher:subscribe", map[string]any{"channel": "private-" + name, "auth": signed(socket + ":private-" + name)}, "")
		if name != "@alice" && name != "" {
			refuses(what, "pusher:subscription_error")
		} else {
			refuses(what, "pusher_internal:subscription_succeeded") // valid after a prefix
		}
		say("client-x", nil, name)
		refuses(what, "pusher:error")
		body, _ := json.Marshal(map[string]any{"name": "said", "channels": []string{name}, "data": "hi"})
		if status, answer := n.request(watching, "POST", "/apps/3/events", "", string(body)); status != http.StatusBadRequest {
			t.Errorf("%s: an event is answered by %d %s", what, status, answer)
		}
	}
	for _, id := range oddUsers {
		what := fmt.Sprintf("%+q", id)
		data, _ := json.Marshal(map[string]string{"user_id": id})
		say("pusher:subscribe", map[string]any{"channel": "presence-x", "auth": signed(socket + ":presence-x:" + string(data)), "channel_data": string(data)}, "")
		refuses(what, "pusher:subscription_error")
		for _, user := range []map[string]any{{"id": id}, {"id": "anna", "watchlist": []string{id}}} {
			data, _ := json.Marshal(user)
			say("pusher:signin", map[string]any{"auth": signed(socket + "::user::" + string(data)), "user_data": string(data)}, "")
			refuses(what, "pusher:error")
		}
	}
	say("pusher:ping", nil, "")
	refuses("a ping", "pusher:pong")
}

func TestKindsOfChannels(t *testing.T) {
	for name, want := range map[string][3]bool{ // isSigned, isPresence, isCache
		"news": {}, "privateer": {}, "cached": {}, "cache": {},
		"private-x": {true, false, false}, "presence-x": {true, true, false}, "private-encrypted-x": {true, false, false},
		"cache-x": {false, false, true}, "private-cache-x": {true, false, true}, "presence-cache-x": {true, true, true},
		"private-encrypted-cache-x": {true, false, true}, "private-x-cache-y": {true, false, false},
	} {
		if got := [3]bool{isSigned(name), isPresence(name), isCache(name)}; got != want {
			t.Errorf("%s: signed, presence, cache is %v, want %v", name, got, want)
		}
	}
}

func TestApp_MapsNamesBothWays(t *testing.T) {
	for _, prefix := range []string{"", "shop:"} {
		a := newApp(&App{ID: "1", Key: "k", Secret: "s", Prefix: prefix})
		for name, want := range map[string]string{
			"news": prefix + "news", "presence-x": prefix + "presence-x", "#server-to-user-7": "@" + prefix + "7",
		} {
			channel := a.channelOf(name)
			if channel != want || a.nameOf(channel) != name {
				t.Errorf("%q: %s is the channel %s, and that is %s; want %s", prefix, name, channel, a.nameOf(channel), want)
			}
		}
		if user := a.userOf("7"); user != prefix+"7" || a.idOf(user) != "7" {
			t.Errorf("%q: 7 is the user %s, and that is %s", prefix, user, a.idOf(user))
		}
	}
}

func TestNewSocketID_IsTwoNumbers(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		id := newSocketID()
		if !isSocketID(id) || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
	for _, id := range []string{"", ".", "1", "1.", ".1", "1.2.3", "1.x", "-1.2", "1.2\n", strings.Repeat("1", 64) + ".1"} {
		if isSocketID(id) {
			t.Errorf("%q passes for one", id)
		}
	}
}
