package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tidegate/gateway/rules"
)

// Explanation says what a client may do on a channel, and why.
type Explanation struct {
	Channel   string        `json:"channel"`
	Who       string        `json:"who"`              // the client, in words
	Rule      *DecidingRule `json:"rule,omitempty"`   // nil: none matches
	Banned    string        `json:"banned,omitempty"` // why the client may not connect at all; empty: it may
	Subscribe Ruling        `json:"subscribe"`
	Publish   Ruling        `json:"publish"`
	Presence  Ruling        `json:"presence"`
	History   Ruling        `json:"history"`
}

// DecidingRule is a rule of the configuration.
type DecidingRule struct {
	Index int    `json:"index"` // from 0
	Match string `json:"match"` // its pattern
}

// Ruling says whether something is allowed.
type Ruling struct {
	Allowed bool   `json:"allowed"`
	Code    Code   `json:"code,omitempty"` // of the refusal
	Why     string `json:"why"`            // the rule and the claim that decide
}

// Explain says what p may do on a channel under the current rules. It has no effects and asks
// no backend; where a webhook has a say, the answer mentions it. It returns an error if the
// name of the channel or of the user is invalid.
func (g *Gateway) Explain(p *Principal, channel string) (Explanation, error) {
	if err := checkUser(p.User); p.User != "" && err != nil {
		return Explanation{}, err
	}
	if err := rules.CheckChannel(channel); err != nil {
		return Explanation{}, ErrorOf(err)
	}
	list := *g.rules.Load()
	r := &reasoning{gateway: g, p: p, channel: channel, list: list, index: list.Index(channel), rule: list.For(channel)}
	e := Explanation{Channel: channel, Who: r.who(), Banned: g.bannedBy(p)}
	if r.index >= 0 {
		e.Rule = &DecidingRule{r.index, list[r.index].Match}
	}
	e.Subscribe, e.Publish = r.ruling(ToSubscribe), r.ruling(ToPublish)
	e.Presence = r.reading(e.Subscribe, "presence", g.attendance != nil && r.rule.Presence)
	e.History = r.reading(e.Subscribe, "history", g.history != nil && r.rule.KeepsHistory())
	return e, nil
}

// bannedBy returns in words why p may not connect, or "".
func (g *Gateway) bannedBy(p *Principal) string {
	switch d := g.Denials.of(p, ""); {
	case d != nil:
		return reasonOf(d).Text
	case g.mustAuth && p.anonymous():
		return "auth.anonymous is false: every client needs a token"
	}
	return ""
}

// reasoning explains the decisions about one channel.
type reasoning struct {
	gateway *Gateway
	p       *Principal
	channel string
	list    rules.List
	index   int
	rule    *rules.Rule
}

func (r *reasoning) who() string {
	switch {
	case r.p.Backend():
		return "the API key " + r.p.Key
	case r.p.anonymous():
		return "an anonymous client"
	}
	return "the user " + r.p.User
}

// ruling decides as Authorize does, and adds an explanation.
func (r *reasoning) ruling(a Action) Ruling {
	err := r.gateway.Authorize(r.p, a, r.channel)
	ruled := Ruling{Allowed: err == nil, Why: r.why(a)}
	switch {
	case err != nil:
		ruled.Code = ErrorOf(err).Code
	case r.gateway.asks(hookOf(a), r.p):
		ruled.Why += "; the webhook is asked as well (" + string(hookOf(a)) + ")"
	}
	return ruled
}

func hookOf(a Action) HookEvent {
	if a == ToPublish {
		return OnPublish
	}
	return OnSubscribe
}

func (r *reasoning) why(a Action) string {
	switch {
	case r.p.Backend() && r.p.Scope == nil:
		return "an API key without channels and allow is good for everything, whatever the rules"
	case r.p.Backend():
		return "what the key is good for decides, not the rules: " + r.p.Scope.String()
	case a == ToSubscribe && rules.IsPersonal(r.channel):
		return fmt.Sprintf("%s is a personal channel: its user's sessions are on it from the start, and nobody else's", r.channel)
	case r.index < 0:
		return "no rule matches the channel, so nothing is allowed"
	case a == ToPublish && rules.IsPersonal(r.channel) && !strings.HasPrefix(r.match(), "@"):
		return r.cite() + " does not open personal channels: that takes a rule whose match begins with @"
	}
	who, claim, patterns := r.rule.Subscribe, "subscribe", r.p.Subscribe
	if a == ToPublish {
		who, claim, patterns = r.rule.Publish, "publish", r.p.Publish
	}
	return r.cite() + " says " + string(a) + ": " + string(cmp.Or(who, rules.Nobody)) + r.meaning(who, claim, patterns)
}

// meaning explains what the class of clients in a rule means for this client.
func (r *reasoning) meaning(who rules.Who, claim string, patterns []string) string {
	switch who {
	case rules.Anyone:
		return ""
	case rules.Authenticated:
		if r.p.anonymous() {
			return ", and the client is anonymous"
		}
		return ", and the client is the user " + r.p.User
	case rules.Subscribers:
		return ": only a session that is on the channel may"
	case rules.Token:
		return ", and " + naming(claim, patterns, r.channel)
	}
	return ": only backends may"
}

// naming explains how the claim of a token relates to a channel.
func naming(claim string, patterns []string, channel string) string {
	at := slices.IndexFunc(patterns, func(pattern string) bool { return rules.Matches(pattern, channel) })
	switch {
	case at >= 0:
		return fmt.Sprintf("the token's claim %s has %q", claim, patterns[at])
	case len(patterns) == 0:
		return fmt.Sprintf("there is no token with a claim %s", claim)
	}
	return fmt.Sprintf("the token's claim %s has only %q", claim, patterns)
}

// reading returns the Ruling for what is open to all who may subscribe.
func (r *reasoning) reading(subscribe Ruling, what string, kept bool) Ruling {
	switch {
	case !subscribe.Allowed:
		return Ruling{Code: subscribe.Code, Why: "only a client that may subscribe to the channel may do this"}
	case kept:
		return Ruling{Allowed: true, Why: fmt.Sprintf("it is open to all who may subscribe, and %s has %s", r.cite(), what)}
	case r.index < 0:
		return Ruling{Code: NotFound, Why: fmt.Sprintf("no rule matches the channel, so it has no %s", what)}
	}
	return Ruling{Code: NotFound, Why: fmt.Sprintf("%s has no %s", r.cite(), what)}
}

func (r *reasoning) match() string { return r.list[r.index].Match }

// cite names the rule as the messages about the configuration do.
func (r *reasoning) cite() string { return fmt.Sprintf("channels[%d] (match %q)", r.index, r.match()) }

// String describes what a key may do, such as: read on ["log:*"].
func (s *Scope) String() string {
	var rights []string
	if s.Read {
		rights = append(rights, "read")
	}
	if s.Publish {
		rights = append(rights, "publish")
	}
	return fmt.Sprintf("%s on %q", strings.Join(rights, " and "), s.Channels)
}
