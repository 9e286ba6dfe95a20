package gateway

import (
	"net/netip"
	"time"

	"tidegate/gateway/internal/denials"
)

// Admit returns nil unless p, or the address that a request of it comes from, is
// forbidden to be here.
func (g *Gateway) Admit(p *Principal, remote string) error {
	d := g.denial(p, remote)
	if d == nil {
		return nil
	}
	if d.IsBan() {
		g.metrics.Commands.AuthFailed(refusedBanned)
	} else {
		g.metrics.Commands.AuthFailed(refusedRevoked)
	}
	return deniedBy(d)
}

// deniedBy returns what a command or a request is answered that is forbidden.
func deniedBy(d *Denial) *Error {
	code := Unauthenticated
	if d.IsBan() {
		code = Forbidden
	}
	return failf(code, "%s", reasonOf(d).Text)
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
