package gateway

import (
	"errors"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/denials"
)

// Admit returns nil unless p, or the address that a request of it comes from, is
// forbidden to be here.
func (g *Gateway) Admit(p *Principal, remote string) error {
	d := g.denial(p, remote)
	switch {
	case d == nil:
		return nil
	case d.IsBan():
		g.metrics.Commands.AuthFailed("banned")
		return failf(Forbidden, "%s", reasonOf(d).Text)
	}
	g.metrics.Commands.AuthFailed("revoked")
	return failf(Unauthenticated, "%s", reasonOf(d).Text)
}

// denial returns what forbids p to be here, coming from an address; nil: nothing.
func (g *Gateway) denial(p *Principal, remote string) *Denial {
	if p.Backend() {
		return nil
	}
	address, _ := netip.ParseAddr(hostOf(remote)) // none is no address of a ban
	return g.denying.list.Load().Find(denials.Client{
		User: p.User, Token: p.Token.ID, Issued: p.Token.Issued, ByToken: p.Token.Shown,
		Address: address.Unmap().WithZone(""),
	}, time.Now())
}

// reasonOf returns why a session ends that is forbidden.
func reasonOf(d *Denial) Reason {
	reason, text := Disconnected, "banned until "+d.Until.UTC().Format(time.RFC3339)
	if !d.IsBan() {
		reason, text = NotAuthentic, "the token was revoked: get a new one"
	}
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return reason.With(text)
}

// denialsKnown returns nil once this node knows what is forbidden.
func (g *Gateway) denialsKnown() error {
	if g.denying.register == nil {
		return nil
	}
	select {
	case <-g.denying.known:
		return nil
	default:
		return errors.New("it is not known yet who is banned")
	}
}

// denying is what is forbidden, as this node knows it. Other nodes, and this one
// later, know it by the broker's register.
type denying struct {
	register broker.Register // nil: nothing can be forbidden
	list     atomic.Pointer[denials.List]
	version  uint64        // of the register when it was read; owned by who holds reading
	reading  chan struct{} // a place in it is the right to read the register
	known    chan struct{} // closed when the register has been read once
}

func newDenying(r broker.Register) *denying {
	d := &denying{register: r, version: math.MaxUint64, reading: make(chan struct{}, 1), known: make(chan struct{})}
	d.list.Store(&denials.List{})
	return d
}

// Denial is something that a backend has forbidden: one of Token, User and Address.
type Denial = denials.Denial
