package gateway_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"chat:*", "chat:lobby", true},
		{"chat:*", "chat:", true},
		{"chat:*", "chat", false},
		{"chat:*", "my-chat:lobby", false},
		{"*", "a:b:c", true},
		{"*:log", "a:b:log", true},
		{"a*b*c", "axxbxxbxxc", true},
		{"a*b*c", "axxbxxbxx", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"**", "", true},
		{"", "", true},
		{"", "a", false},
		{"[a-z]", "b", false}, // nothing else is special
		{"a?", "ab", false},
	} {
		if got := gateway.Matches(test.pattern, test.name); got != test.want {
			t.Errorf("Matches(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

// FuzzMatches holds patterns to what a regular expression says of them.
func FuzzMatches(f *testing.F) {
	f.Add("chat:*", "chat:lobby")
	f.Add("*a*b*", "xaxxbx")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 40 || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		parts := strings.Split(pattern, "*")
		for i, part := range parts {
			parts[i] = regexp.QuoteMeta(part)
		}
		want := regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`).MatchString(name)
		if got := gateway.Matches(pattern, name); got != want {
			t.Errorf("Matches(%q, %q) = %v", pattern, name, got)
		}
	})
}

func TestCheckChannelName(t *testing.T) {
	for _, name := range []string{"a", "chat:lobby", "@alice", "日本", strings.Repeat("x", 255), "a/b?c#d%20"} {
		if err := gateway.CheckChannelName(name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{"", "@", "a b", "a\tb", "a\nb", "a\x00", "a\u00a0b", "a\u2028b", "\xff", strings.Repeat("x", 256)} {
		if err := gateway.CheckChannelName(name); gateway.ErrorOf(err).Code != gateway.BadRequest || err == nil {
			t.Errorf("%q is accepted: %v", name, err)
		}
	}
}

// FuzzCheckChannelName holds what is accepted to what Redis names, log lines and
// headers rely on.
func FuzzCheckChannelName(f *testing.F) {
	f.Add("chat:lobby")
	f.Add("a b")
	f.Add("\u0085")
	f.Fuzz(func(t *testing.T, name string) {
		if gateway.CheckChannelName(name) != nil {
			return
		}
		if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, " \t\r\n\v\f\x00\x7f\u0085\u00a0\u2028\u2029") {
			t.Errorf("%q is accepted", name)
		}
	})
}

func TestRules_FirstMatchDecides(t *testing.T) {
	rules := gateway.Rules{
		{Match: "chat:closed", Subscribe: gateway.Nobody},
		{Match: "chat:*", Subscribe: gateway.Anyone, HistorySize: 5},
		{Match: "*", Subscribe: gateway.Authenticated, Publish: gateway.Anyone},
	}
	for channel, want := range map[string]gateway.Rule{
		"chat:closed": {Subscribe: gateway.Nobody},
		"chat:open":   {Subscribe: gateway.Anyone, HistorySize: 5},
		"other":       {Subscribe: gateway.Authenticated, Publish: gateway.Anyone},
		"@alice":      {Subscribe: gateway.Authenticated, Publish: gateway.Nobody}, // no rule names personal ones
	} {
		got := rules.For(channel)
		if got.Subscribe != want.Subscribe || got.Publish != want.Publish || got.HistorySize != want.HistorySize {
			t.Errorf("the rule of %q is %+v", channel, got)
		}
	}
	if got := (gateway.Rules{}).For("any"); got != (gateway.Rule{}) {
		t.Errorf("without rules: %+v", got)
	}
}

func TestRules_ValidateSaysWhatIsWrong(t *testing.T) {
	for want, rule := range map[string]gateway.Rule{
		"match is missing":  {},
		`subscribe is "all`: {Match: "a", Subscribe: "all"},
		`publish is "me"`:   {Match: "a", Publish: "me"},
		"negative":          {Match: "a", HistorySize: -1},
		"no size":           {Match: "a", HistoryTTL: 1},
		"exclude":           {Match: "a", Bare: true, HistorySize: 1},
		"needs presence":    {Match: "a", JoinLeave: true},
	} {
		err := gateway.Rules{{Match: "fine"}, rule}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "channels[1]") {
			t.Errorf("%+v: %v, want %q", rule, err, want)
		}
	}
}

// FuzzRules looks for a channel whose verdict depends on anything but the first
// rule that matches it.
func FuzzRules(f *testing.F) {
	f.Add("chat:*", "*", "chat:lobby")
	f.Add("@*", "a", "@alice")
	f.Fuzz(func(t *testing.T, first, second, channel string) {
		rules := gateway.Rules{{Match: first, Subscribe: gateway.Anyone}, {Match: second, Subscribe: gateway.Token}}
		want := gateway.Who("")
		switch {
		case gateway.Matches(first, channel):
			want = gateway.Anyone
		case gateway.Matches(second, channel):
			want = gateway.Token
		}
		if got := rules.For(channel).Subscribe; got != want {
			t.Errorf("%q with %q, %q: %q, want %q", channel, first, second, got, want)
		}
	})
}

// Channels are many: those of one rule share it.
func TestRules_ChannelsShareTheirRule(t *testing.T) {
	g, err := gateway.New(gateway.Config{Broker: broker.NewMemory(), Rules: gateway.Rules{{Match: "chat:*", Subscribe: gateway.Anyone}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = g.Authorize(&gateway.Principal{}, gateway.ToSubscribe, "chat:lobby") }); n > 0 {
		t.Errorf("%v allocations to look a rule up", n)
	}
}
