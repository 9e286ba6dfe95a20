package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// List holds rules in order of precedence: the first that matches a channel applies. If
// none matches, nothing is allowed.
type List []Rule

// Development returns rules that allow everyone everything.
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

// For returns the rule that applies to a channel. A rule for all channels does not open
// personal ones: its Publish, Presence and JoinLeave apply to them only if its pattern
// begins with @. Channels of who is online have a fixed rule, which lets nobody subscribe
// or publish. The caller must not modify the Rule, because channels share it.
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

// Index returns the index of the rule that applies to a channel, or -1 if the list has none.
func (l List) Index(channel string) int {
	if IsOnline(channel) {
		return -1
	}
	return slices.IndexFunc(l, func(r Rule) bool { return Matches(r.Match, channel) })
}

// Validate returns an error that names the first invalid rule and says what to do, or nil.
func (l List) Validate() error {
	for i, rule := range l {
		if err := rule.validate(); err != nil {
			return fmt.Errorf("channels[%d] (match %q): %w", i, rule.Match, err)
		}
	}
	return nil
}
