package gateway

import (
	"context"

	"tidegate/gateway/rules"
)

// Authenticate returns the owner of a token; "" stands for an anonymous client.
func (g *Gateway) Authenticate(ctx context.Context, token string) (Principal, error) {
	switch {
	case token == "":
		return Principal{}, nil
	case g.auth == nil:
		g.metrics.Commands.AuthFailures.Count(refusedUnknownKey)
		return Principal{}, failf(Unauthenticated, "this gateway knows no tokens: configure auth.jwt or auth.api_keys")
	}
	p, err := g.auth.Authenticate(ctx, token)
	if err == nil && p.Token.Channel != "" {
		g.metrics.Commands.AuthFailures.Count(refusedMalformed)
		return Principal{}, failf(Unauthenticated, "this token is for a channel alone: connect with one that has no claim \"channel\"")
	}
	return p, err
}

// Authorize returns nil if p may perform a on the channel, else an *Error.
func (g *Gateway) Authorize(p *Principal, a Action, channel string) error {
	return g.authorize(p, a, channel, g.rule(channel))
}

// authorize is Authorize with the channel's rule.
func (g *Gateway) authorize(p *Principal, a Action, channel string, rule *rules.Rule) error {
	if err := rules.CheckChannel(channel); err != nil {
		return err
	}
	if p.Backend() {
		if p.Scope.permits(a, channel) {
			return nil
		}
		return failf(Forbidden, "the API key %s may not %s %q", p.Key, a.verb(), channel)
	}
	switch {
	case allows(rule, p, a, channel):
		return nil
	case a == ToPublish && rule.Publish == rules.Subscribers:
		code := Forbidden
		if p.anonymous() {
			code = Unauthenticated
		}
		return failf(code, "only a session that is subscribed to %q may publish to it", channel)
	case p.anonymous():
		return failf(Unauthenticated, "an anonymous client may not %s %q: authenticate", a.verb(), channel)
	}
	return failf(Forbidden, "%s may not %s %q", p.User, a.verb(), channel)
}

// MayPublish returns nil if p may be allowed to publish to some channel, else an *Error.
func (g *Gateway) MayPublish(p *Principal) error {
	if p.Backend() {
		if p.Scope == nil || p.Scope.Publish {
			return nil
		}
		return failf(Forbidden, "the API key %s may not publish", p.Key)
	}
	for _, rule := range *g.rules.Load() {
		if rule.Publish == rules.Anyone || rule.Publish == rules.Authenticated && !p.anonymous() || rule.Publish == rules.Token && len(p.Publish) > 0 {
			return nil
		}
	}
	if p.anonymous() {
		return failf(Unauthenticated, "an anonymous client may publish to no channel: authenticate")
	}
	return failf(Forbidden, "%s may publish to no channel", p.User)
}

// NoteNoToken counts a client that lacks a required token.
func (g *Gateway) NoteNoToken() { g.metrics.Commands.AuthFailures.Count(refusedNoToken) }
