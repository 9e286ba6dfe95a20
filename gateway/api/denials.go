package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"tidegate/gateway"
)

const (
	maxDenial = 8 << 10         // most bytes of the body of a ban or a revocation
	lastTime  = 253402300799999 // the end of the year 9999, the last that JSON can tell, in milliseconds
)

// ban handles {"user":"alice"} or {"address":"192.0.2.0/24"}, with optional "for" and "reason".
func (h *Handler) ban(r *request) (any, error) {
	var asked banRequest
	if err := r.decode(maxDenial, &asked); err != nil {
		return nil, err
	}
	d := gateway.Denial{User: asked.User, Reason: asked.Reason}
	if (asked.User == "") == (asked.Address == "") {
		return nil, fail(gateway.BadRequest, "give one of user and address")
	}
	if asked.Address != "" {
		var err error
		if d.Address, err = parseNetwork(asked.Address); err != nil {
			return nil, err
		}
	}
	return h.deny(r, d, asked.For)
}

// revoke handles {"token":"its jti"} or {"user":"alice"}, with optional "before",
// "for" and "reason".
func (h *Handler) revoke(r *request) (any, error) {
	var asked revocationRequest
	if err := r.decode(maxDenial, &asked); err != nil {
		return nil, err
	}
	d := gateway.Denial{Token: asked.Token, User: asked.User, Reason: asked.Reason}
	switch {
	case (asked.Token == "") == (asked.User == ""):
		return nil, fail(gateway.BadRequest, "give one of token, its claim jti, and user")
	case asked.Token != "" && asked.Before != nil:
		return nil, fail(gateway.BadRequest, "before goes with user")
	case asked.Before != nil && (*asked.Before < 0 || *asked.Before > lastTime):
		return nil, fail(gateway.BadRequest, "before is %d: want milliseconds since 1970", *asked.Before)
	case asked.User != "":
		d.Before = time.Now().UTC()
		if asked.Before != nil {
			d.Before = time.UnixMilli(*asked.Before).UTC()
		}
	}
	return h.deny(r, d, asked.For)
}

func (h *Handler) deny(r *request, d gateway.Denial, lasts string) (any, error) {
	if lasts != "" {
		duration, err := time.ParseDuration(lasts)
		if err != nil {
			return nil, fail(gateway.BadRequest, `for is %.32q: want a time such as "90m" or "24h"`, lasts)
		}
		d.Until = time.Now().Add(duration).UTC()
	}
	d, err := h.gateway.Denials.Deny(r.Context(), r.by, d)
	if err != nil {
		return nil, err
	}
	r.details = append(r.details, "denial", d.ID())
	return denialOf(d), nil
}

// lift revokes a ban or a revocation.
func (h *Handler) lift(r *request) (any, error) {
	return nil, h.gateway.Denials.Lift(r.Context(), r.PathValue("id"))
}

// denials returns an endpoint that lists the bans or, if bans is false, the revocations.
func (h *Handler) denials(name string, bans bool) endpoint {
	others := func(d gateway.Denial) bool { return d.IsBan() != bans }
	return func(*request) (any, error) {
		return listed[denial](name)(converted(slices.DeleteFunc(h.gateway.Denials.All(), others), denialOf), nil)
	}
}

// parseNetwork parses an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fail(gateway.BadRequest, "%.64q is no address: want one such as 192.0.2.7 or 192.0.2.0/24", text)
	}
	return unmapped(network), nil
}

const mappedBits = 96 // prefix length of the IPv4-mapped IPv6 addresses

// unmapped converts an IPv4-mapped IPv6 network to IPv4, because clients' addresses are
// never in the mapped form.
func unmapped(network netip.Prefix) netip.Prefix {
	if network.Addr().Is4In6() && network.Bits() >= mappedBits {
		return netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mappedBits)
	}
	return network
}

// decode decodes a body of at most most bytes: one JSON object. It refuses unknown fields.
func (r *request) decode(most int, into any) error {
	body, err := r.readBody(most)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return fail(gateway.BadRequest, "the body is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fail(gateway.BadRequest, "the body is not what is wanted: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fail(gateway.BadRequest, "the body has more than one JSON value")
	}
	return nil
}

// banRequest is the request body for a ban.
type banRequest struct {
	User    string `json:"user"`
	Address string `json:"address"`
	For     string `json:"for"`
	Reason  string `json:"reason"`
}

// revocationRequest is the request body for a revocation.
type revocationRequest struct {
	Token  string `json:"token"`
	User   string `json:"user"`
	Before *int64 `json:"before"` // milliseconds since 1970
	For    string `json:"for"`
	Reason string `json:"reason"`
}

// denial is a ban or a revocation.
type denial struct {
	ID      string `json:"id"`
	User    string `json:"user,omitempty"`
	Address string `json:"address,omitempty"`
	Token   string `json:"token,omitempty"`
	Before  int64  `json:"before,omitempty"` // all times are in milliseconds since 1970
	Reason  string `json:"reason,omitempty"`
	By      string `json:"by,omitempty"` // name of the API key
	Since   int64  `json:"since"`
	Until   int64  `json:"until"`
}

func denialOf(d gateway.Denial) denial {
	told := denial{
		ID: d.ID(), User: d.User, Token: d.Token, Reason: d.Reason, By: d.By,
		Since: d.Since.UnixMilli(), Until: d.Until.UnixMilli(),
	}
	if d.Address.IsValid() {
		told.Address = d.Address.String()
	}
	if !d.Before.IsZero() {
		told.Before = d.Before.UnixMilli()
	}
	return told
}
