package centrifuge

import (
	"bytes"
	"context"
	"encoding/json"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
	"tidegate/gateway/rules"
)

// subscription holds the parameters of the method subscribe, apart from the user or session.
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

// overrides replaces settings of the channel's rule for one subscription. It can only
// switch things off: what the rule does not allow cannot be added.
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

// or returns the value if it is set, else what the rule says.
func (v *value) or(ruled bool) bool {
	if v == nil {
		return ruled
	}
	return v.Value
}

// apply puts the overrides into a grant. An error says which cannot be applied.
func (o *overrides) apply(to *gateway.Grant, r rules.Rule) error {
	if o == nil {
		return nil
	}
	kept := r.KeepsHistory()
	seen, joins := o.Presence.or(r.Presence), o.JoinLeave.or(r.JoinLeave)
	told, recovers := o.PushJoinLeave.or(r.JoinLeave), o.ForceRecovery.or(kept)
	switch {
	case seen && !r.Presence, joins && !r.JoinLeave, told && !r.JoinLeave:
		return failed(errNotAvailable, "the rule of the channel has no presence, or no join_leave: override cannot add them")
	case recovers && !kept, o.ForcePositioning.or(kept) && !kept:
		return failed(errNotAvailable, "the rule of the channel has no history: override cannot add recovery or positioning")
	case r.JoinLeave && seen != joins:
		return failed(errNotAvailable, "who is shown joins and leaves here, and who is not does not: override presence and join_leave together")
	}
	to.Unseen, to.Unaware, to.Unplaced = r.Presence && !seen, r.JoinLeave && !told, kept && !recovers
	return nil
}

func (c *call) subscribe(ctx context.Context, args struct {
	whom
	subscription
}) (any, error) {
	of, err := args.whose()
	if err != nil {
		return nil, err
	}
	to, err := args.grant(c.Gateway)
	if err == nil {
		_, err = c.Users.Subscribe(ctx, of, to)
	}
	return &wire.Empty{}, err
}

// grant returns the gateway's form of the subscription. An error says what is wrong.
func (s *subscription) grant(g *gateway.Gateway) (to gateway.Grant, err error) {
	to = gateway.Grant{Channel: s.Channel, Until: timeOf(s.ExpireAt), Info: valueOf(s.Info, s.Info64), Data: valueOf(s.Data, s.Data64)}
	if s.Since != nil {
		to.Cursor, _ = cursorOf(s.Since.Epoch, s.Since.Offset)
	}
	most := g.Limits().MessageBytes
	switch {
	case isNoTime(s.ExpireAt):
		return to, failed(errBadRequest, noTime)
	case s.Since != nil && to.Cursor == "":
		return to, failed(errBadRequest, "recover_since takes an epoch")
	case to.Info != nil && broker.KindOf(to.Info) != broker.JSON, to.Data != nil && broker.KindOf(to.Data) != broker.JSON:
		return to, failed(errNotAvailable, "info and data of a subscription are JSON here, also in base64")
	case len(to.Info) > gateway.MostInfo:
		return to, failed(errLimit, "the info is too long: at most 1024 bytes are allowed, together with that of the connection")
	case most > 0 && len(to.Data) > most:
		return to, failed(errLimit, "the data is too long: a subscription has as much as a message")
	}
	return to, s.Override.apply(&to, g.RuleOf(s.Channel))
}

// valueOf returns the value given as JSON or in base64, or nil for null.
func valueOf(given json.RawMessage, encoded []byte) json.RawMessage {
	switch {
	case encoded != nil:
		return encoded
	case bytes.Equal(given, []byte("null")):
		return nil
	}
	return given
}
