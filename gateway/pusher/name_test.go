package pusher

import (
	"strings"
	"testing"
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

func TestKindsOfChannels(t *testing.T) {
	for name, want := range map[string][3]bool{ // signed, presence, cache
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
