package rules_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tidegate/gateway/rules"
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
		{"[a-z]", "b", false}, // no other character is special
		{"a?", "ab", false},
	} {
		if got := rules.Matches(test.pattern, test.name); got != test.want {
			t.Errorf("Matches(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

// No configured rule applies to the channels of who is online.
func TestList_RuleOfWhoIsOnline(t *testing.T) {
	all := rules.Development()
	name := rules.OnlineChannel("shop:7")
	if rule := all.For(name); rule.Subscribe != "" || rule.Publish != "" || !rule.Presence || !rule.JoinLeave || rule.KeepsHistory() {
		t.Errorf("the rule of %s is %+v", name, rule)
	}
	if i := all.Index(name); i >= 0 {
		t.Errorf("%s has the rule %d", name, i)
	}
	if user, ok := rules.CutOnline(name); !ok || user != "shop:7" {
		t.Errorf("%s is of %q, %v", name, user, ok)
	}
	if user, ok := rules.CutOnline("online:7"); ok {
		t.Errorf("online:7 is of %q", user)
	}
}

// FuzzMatches compares Matches with an equivalent regular expression.
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
		if got := rules.Matches(pattern, name); got != want {
			t.Errorf("Matches(%q, %q) = %v", pattern, name, got)
		}
	})
}

func TestCheckChannel(t *testing.T) {
	for _, name := range []string{"a", "chat:lobby", "@alice", "日本", strings.Repeat("x", 255), "a/b?c#d%20"} {
		if err := rules.CheckChannel(name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{"", "@", "a b", "a\tb", "a\nb", "a\x00", "a\u00a0b", "a\u2028b", "\xff", strings.Repeat("x", 256)} {
		var wrong *rules.NameError
		if err := rules.CheckChannel(name); !errors.As(err, &wrong) {
			t.Errorf("%q is accepted: %v", name, err)
		}
	}
}

// FuzzCheckChannel checks that accepted names are safe as Redis names, in log lines and in
// headers.
func FuzzCheckChannel(f *testing.F) {
	f.Add("chat:lobby")
	f.Add("a b")
	f.Add("\u0085")
	f.Fuzz(func(t *testing.T, name string) {
		if rules.CheckChannel(name) != nil {
			return
		}
		if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, " \t\r\n\v\f\x00\x7f\u0085\u00a0\u2028\u2029") {
			t.Errorf("%q is accepted", name)
		}
	})
}

func TestRules_FirstMatchDecides(t *testing.T) {
	list := rules.List{
		{Match: "chat:closed", Subscribe: rules.Nobody},
		{Match: "chat:*", Subscribe: rules.Anyone, HistorySize: 5},
		{Match: "*", Subscribe: rules.Authenticated, Publish: rules.Anyone},
	}
	for channel, want := range map[string]rules.Rule{
		"chat:closed": {Subscribe: rules.Nobody},
		"chat:open":   {Subscribe: rules.Anyone, HistorySize: 5},
		"other":       {Subscribe: rules.Authenticated, Publish: rules.Anyone},
		"@alice":      {Subscribe: rules.Authenticated, Publish: rules.Nobody}, // no rule matches personal channels
	} {
		got := list.For(channel)
		if got.Subscribe != want.Subscribe || got.Publish != want.Publish || got.HistorySize != want.HistorySize {
			t.Errorf("the rule of %q is %+v", channel, got)
		}
	}
	if got := (rules.List{}).For("any"); *got != (rules.Rule{}) {
		t.Errorf("without rules: %+v", *got)
	}
}

func TestRules_ValidateSaysWhatIsWrong(t *testing.T) {
	for want, rule := range map[string]rules.Rule{
		"match is missing":             {},
		`subscribe is "all`:            {Match: "a", Subscribe: "all"},
		`publish is "me"`:              {Match: "a", Publish: "me"},
		"negative":                     {Match: "a", HistorySize: -1},
		"no size":                      {Match: "a", HistoryTTL: 1},
		"replicas but no size":         {Match: "a", Replicas: 1},
		"a size or a time is negative": {Match: "a", HistorySize: 1, Replicas: -1},
		"exclude":                      {Match: "a", Bare: true, HistorySize: 1},
		"needs presence":               {Match: "a", JoinLeave: true},
	} {
		err := rules.List{{Match: "fine"}, rule}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "channels[1]") {
			t.Errorf("%+v: %v, want %q", rule, err, want)
		}
	}
}

// FuzzRules looks for a channel whose verdict depends on any rule but the first that matches it.
func FuzzRules(f *testing.F) {
	f.Add("chat:*", "*", "chat:lobby")
	f.Add("@*", "a", "@alice")
	f.Fuzz(func(t *testing.T, first, second, channel string) {
		list := rules.List{{Match: first, Subscribe: rules.Anyone}, {Match: second, Subscribe: rules.Token}}
		want := rules.Who("")
		switch {
		case rules.Matches(first, channel):
			want = rules.Anyone
		case rules.Matches(second, channel):
			want = rules.Token
		}
		if got := list.For(channel).Subscribe; got != want {
			t.Errorf("%q with %q, %q: %q, want %q", channel, first, second, got, want)
		}
	})
}
