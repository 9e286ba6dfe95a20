package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// List decides by the first that matches a channel; with none, nothing is
// allowed.
type List []Rule

// Development allows everything to anyone.
func Development() List {
	all := Rule{
		Match: "*", Subscribe: Anyone, Publish: Anyone,
		Presence: true, JoinLeave: true,
		HistorySize: 100, HistoryTTL: 10 * time.Minute,
	}
	personal := all
	personal.Match, personal.Presence, personal.JoinLeave = "@*", false, false
	return List{personal, all}
}

// For returns the rule of a channel. A rule for all channels does not open
// personal ones: of them its Subscribe, Publish, Presence and JoinLeave hold
// only if its pattern begins with an @. Those of who is online have a rule of their
// own, by which nobody subscribes or publishes. Channels are many and rules are few: they
// share the Rule, which must not be changed.
func (l List) For(channel string) *Rule {
	if IsOnline(channel) {
		return &Rule{Match: onlinePrefix + "*", Presence: true, JoinLeave: true}
	}
	i := l.Index(channel)
	if i < 0 {
		return &Rule{}
	}
	rule := &l[i]
	if IsPersonal(channel) && !strings.HasPrefix(rule.Match, "@") {
		own := *rule
		own.Publish, own.Presence, own.JoinLeave = Nobody, false, false
		return &own
	}
	return rule
}

// Index returns which rule is that of a channel; -1: none of the list.
func (l List) Index(channel string) int {
	if IsOnline(channel) {
		return -1
	}
	return slices.IndexFunc(l, func(r Rule) bool { return Matches(r.Match, channel) })
}

// Validate returns what is wrong with the rules, saying which one and what to
// do.
func (l List) Validate() error {
	for i, rule := range l {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("channels[%d] (match %q): %w", i, rule.Match, err)
		}
	}
	return nil
}
