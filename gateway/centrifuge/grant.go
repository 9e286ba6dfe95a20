package centrifuge

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
	"tidegate/gateway/rules"
)

// subscription is what the method subscribe says of one, beside whose it is.
type subscription struct {
	Channel  string               `json:"channel"`
	ExpireAt int64                `json:"expire_at"`
	Info     json.RawMessage      `json:"info"`
	Info64   []byte               `json:"b64info"`
	Data     json.RawMessage      `json:"data"`
	Data64   []byte               `json:"b64data"`
	Since    *wire.StreamPosition `json:"recover_since"`
	Override *overrides           `json:"override"`
}

// overrides are what a subscription is to have, whatever the channel's rule says. It has
// what the rule says: one that says the same is taken.
type overrides struct {
	Presence         *value `json:"presence"`
	JoinLeave        *value `json:"join_leave"`
	ForceRecovery    *value `json:"force_recovery"`
	ForcePositioning *value `json:"force_positioning"`
	PushJoinLeave    *value `json:"force_push_join_leave"`
}

type value struct {
	Value bool `json:"value"`
}

func (v *value) is(ruled bool) bool { return v == nil || v.Value == ruled }

func (o *overrides) are(r rules.Rule) bool {
	return o == nil || o.Presence.is(r.Presence) && o.JoinLeave.is(r.JoinLeave) && o.PushJoinLeave.is(r.JoinLeave) &&
		o.ForceRecovery.is(r.KeepsHistory()) && o.ForcePositioning.is(r.KeepsHistory())
}

func (c *call) subscribe(ctx context.Context, args struct {
	whom
	subscription
}) outcome {
	of, ok := args.whose()
	if !ok {
		return twoSessions
	}
	to, why, ok := args.grant(c.Gateway)
	if !ok {
		return why
	}
	_, err := c.SubscribeSome(ctx, of, to)
	return done(empty{}, err)
}

// grant returns what a subscription is to the gateway or, if ok is false, why it cannot be.
func (s *subscription) grant(g *gateway.Gateway) (to gateway.Grant, why outcome, ok bool) {
	to = gateway.Grant{Channel: s.Channel, Until: timeOf(s.ExpireAt), Info: valueOf(s.Info, s.Info64), Data: valueOf(s.Data, s.Data64)}
	if s.Since != nil {
		to.Cursor, _ = cursorOf(s.Since.Epoch, s.Since.Offset)
	}
	most := g.Limits().MessageBytes
	switch {
	case s.Since != nil && to.Cursor == "":
		return to, failed(errBadRequest, "recover_since takes an epoch"), false
	case to.Info != nil && broker.KindOf(to.Info) != broker.JSON, to.Data != nil && broker.KindOf(to.Data) != broker.JSON:
		return to, failed(errNotAvailable, "info and data of a subscription are JSON here, also in base64"), false
	case len(to.Info) > gateway.MostInfo:
		return to, failed(errLimit, "the info is too long: at most 1024 bytes are allowed, together with that of the connection"), false
	case most > 0 && len(to.Data) > most:
		return to, failed(errLimit, "the data is too long: a subscription has as much as a message"), false
	case !s.Override.are(g.RuleOf(s.Channel)):
		return to, failed(errNotAvailable, "the rule of the channel says what a subscription has: override cannot say otherwise here"), false
	}
	return to, outcome{}, true
}

// valueOf returns what is given as it is, or in base64; null is nothing.
func valueOf(given json.RawMessage, encoded []byte) json.RawMessage {
	switch {
	case encoded != nil:
		return encoded
	case bytes.Equal(given, []byte("null")):
		return nil
	}
	return given
}

// timeOf returns a time in seconds since 1970; 0: none.
func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
