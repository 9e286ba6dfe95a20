package config

import (
	"errors"
	"slices"
	"strings"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// validateRules lets package rules check the rules, and warns of rules that have no effect.
func (c *reading) validateRules() {
	for i, rule := range c.config.Rules {
		path := element("channels", i)
		if err := (rules.List{rule}).Validate(); err != nil {
			c.problem(path, "%v", errors.Unwrap(err))
			continue
		}
		if !matchesAChannel(rule.Match) {
			c.warn(path, "no channel's name matches %q: a name has 1 to 255 bytes and no spaces", rule.Match)
		}
		c.warnOfHidden(i)
		c.warnOfMissingTokens(path, rule)
		c.warnOfHistoryForEver(path, rule)
	}
}

// matchesAChannel reports whether the pattern matches a valid channel name if each * stands
// for nothing, or for a letter.
func matchesAChannel(pattern string) bool {
	return rules.CheckChannel(strings.ReplaceAll(pattern, "*", "")) == nil ||
		rules.CheckChannel(strings.ReplaceAll(pattern, "*", "x")) == nil
}

// warnOfHidden warns of a rule whose channels are all matched by an earlier rule.
func (c *reading) warnOfHidden(i int) {
	rule := c.config.Rules[i]
	for j, earlier := range c.config.Rules[:i] {
		if earlier.Match != "" && rules.Matches(earlier.Match, rule.Match) {
			c.warn(element("channels", i), "the rule for %q never applies: %s, for %q, matches first; put the narrower rule above it",
				rule.Match, element("channels", j), earlier.Match)
			return
		}
	}
}

// warnOfMissingTokens warns of a rule that no client can fulfil: no key verifies tokens, no
// backend identifies clients when they connect, and no Pusher app signs users and
// subscriptions.
func (c *reading) warnOfMissingTokens(path string, rule rules.Rule) {
	if c.config.Auth.JWT.Given() {
		return
	}
	signed := slices.ContainsFunc(c.config.Pusher.Apps, func(app PusherApp) bool { return !app.Disabled })
	identified := signed || c.config.Webhooks.Wants(gateway.OnConnect)
	for _, one := range []struct {
		name   string
		who    rules.Who
		signed bool // an app's signature counts as the token
	}{{"subscribe", rule.Subscribe, signed}, {"publish", rule.Publish, false}} {
		if one.who == rules.Authenticated && !identified || one.who == rules.Token && !one.signed {
			c.warn(path, "%s: %s requires a token, and there is no key to verify one, so only backends can: set auth.jwt.secret_file, public_key_file or jwks_url",
				one.name, one.who)
		}
	}
}

// warnOfHistoryForEver warns of a rule that lets clients fill Redis over time.
func (c *reading) warnOfHistoryForEver(path string, rule rules.Rule) {
	if c.config.UsesRedis() && rule.KeepsHistory() && rule.HistoryTTL == 0 && rule.Publish != rules.Nobody && rule.Publish != "" {
		c.warn(path, "history has no ttl, and clients may publish: Redis keeps every channel that a client names forever; set a ttl")
	}
}
