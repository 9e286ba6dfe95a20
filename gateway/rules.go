package gateway

import (
	"fmt"
	"strings"
	"time"

	"tidegate/broker"
)

// Rule says what may be done on the channels that it matches, and how they
// behave. The zero Rule allows nothing and keeps nothing.
type Rule struct {
	Match       string // a pattern: * stands for any run of characters
	Subscribe   Who
	Publish     Who
	Presence    bool // who is there can be asked
	JoinLeave   bool // subscribers hear who comes and goes
	HistorySize int  // messages kept; 0: none
	HistoryTTL  time.Duration
	Conflate    bool          // a session that lags gets the latest message only
	Bare        bool          // no envelope in Redis
	Delay       time.Duration // how long deliveries may wait for company; 0: not
}

// Who is a class of principals.
type Who string

const (
	Nobody        Who = "nobody" // but backends
	Anyone        Who = "anyone"
	Authenticated Who = "authenticated" // whoever has a user
	Token         Who = "token"         // whoever's token names the channel
)

// Rules decide by the first that matches a channel; with none, nothing is
// allowed.
type Rules []Rule

// DevelopmentRules allow everything to anyone.
func DevelopmentRules() Rules {
	all := Rule{
		Match: "*", Subscribe: Anyone, Publish: Anyone,
		Presence: true, JoinLeave: true,
		HistorySize: 100, HistoryTTL: 10 * time.Minute,
	}
	personal := all
	personal.Match, personal.Presence, personal.JoinLeave = "@*", false, false
	return Rules{personal, all}
}

// For returns the rule of a channel. A rule for all channels does not open
// personal ones: of them its Subscribe, Publish, Presence and JoinLeave hold
// only if its pattern begins with an @.
func (rules Rules) For(channel string) Rule { return *rules.shared(channel) }

// shared is For without a copy, since channels may be many and rules are few. The
// rule must not be changed.
func (rules Rules) shared(channel string) *Rule {
	for i := range rules {
		rule := &rules[i]
		if !Matches(rule.Match, channel) {
			continue
		}
		if isPersonal(channel) && !strings.HasPrefix(rule.Match, "@") {
			own := *rule
			own.Publish, own.Presence, own.JoinLeave = Nobody, false, false
			return &own
		}
		return rule
	}
	return &Rule{}
}

// Validate returns what is wrong with the rules, saying which one and what to
// do.
func (rules Rules) Validate() error {
	for i, rule := range rules {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("channels[%d] (match %q): %w", i, rule.Match, err)
		}
	}
	return nil
}

func (r Rule) validate() error {
	switch {
	case r.Match == "":
		return fmt.Errorf("match is missing: give a pattern such as chat:*")
	case !r.Subscribe.known():
		return fmt.Errorf("subscribe is %q: want %s", r.Subscribe, knownWho)
	case !r.Publish.known():
		return fmt.Errorf("publish is %q: want %s", r.Publish, knownWho)
	case r.HistorySize < 0 || r.HistoryTTL < 0 || r.Delay < 0:
		return fmt.Errorf("a size or a time is negative")
	case r.HistorySize == 0 && r.HistoryTTL > 0:
		return fmt.Errorf("history has a ttl but no size: give history.size as well")
	case r.Bare && r.HistorySize > 0:
		return fmt.Errorf("bare and history exclude each other: a bare message has no place for its position")
	case r.JoinLeave && !r.Presence:
		return fmt.Errorf("join_leave needs presence: true")
	}
	return nil
}

const knownWho = "anyone, authenticated, token or nobody"

func (w Who) known() bool {
	switch w {
	case "", Nobody, Anyone, Authenticated, Token:
		return true
	}
	return false
}

// keepsHistory reports whether the rule's channels have positions.
func (r *Rule) keepsHistory() bool { return r.HistorySize > 0 }

func (r *Rule) publishOptions() broker.PublishOptions {
	return broker.PublishOptions{HistorySize: r.HistorySize, HistoryTTL: r.HistoryTTL, Bare: r.Bare}
}

// Matches reports whether pattern, in which * stands for any run of bytes,
// covers the whole of name. It takes time len(pattern)*len(name) at worst.
func Matches(pattern, name string) bool {
	star, mark := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
