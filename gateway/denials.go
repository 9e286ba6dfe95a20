package gateway

import (
	"log/slog"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/denials"
	"tidegate/metrics"
)

// Denials are what is forbidden in the whole cluster, as this node knows it: bans, and
// revocations of tokens. Other nodes, and this one later, know them by the broker's
// register. All methods may be called concurrently.
type Denials struct {
	// Fixed at birth.
	register broker.Register // nil: nothing can be forbidden
	nodes    *Nodes
	metrics  *metrics.Metrics
	log      *slog.Logger
	changed  func() // called when the list has changed

	list    atomic.Pointer[denials.List]
	version uint64        // of the register when it was read; owned by the goroutine that holds reading
	reading chan struct{} // a place in it is the right to read the register
	read    chan struct{} // closed when the register has been read once
}

// Denial is something that a backend has forbidden: one of Token, User and Address.
type Denial = denials.Denial

func newDenials(r broker.Register, n *Nodes, m *metrics.Metrics, changed func()) *Denials {
	d := &Denials{
		register: r, nodes: n, metrics: m, log: n.log, changed: changed,
		version: math.MaxUint64, reading: make(chan struct{}, 1), read: make(chan struct{}),
	}
	d.list.Store(&denials.List{})
	return d
}

// Admit returns nil unless p, or the address that a request of it comes from, is
// forbidden to be here.
func (d *Denials) Admit(p *Principal, remote string) error {
	denial := d.of(p, remote)
	if denial == nil {
		return nil
	}
	label := refusedRevoked
	if denial.IsBan() {
		label = refusedBanned
	}
	d.metrics.Commands.AuthFailed(label)
	return deniedBy(denial)
}

// of returns what forbids p to be here, coming from an address; nil: nothing.
func (d *Denials) of(p *Principal, remote string) *Denial {
	if p.Backend() {
		return nil
	}
	address, _ := netip.ParseAddr(hostOf(remote)) // none is no address of a ban
	return d.list.Load().Find(denials.Client{
		User: p.User, Token: p.Token.ID, Issued: p.Token.Issued, ByToken: p.Token.Shown,
		Address: address.Unmap().WithZone(""),
	}, time.Now())
}

// ofAdmission returns what forbids a session to be on a channel as an Admission says, beside
// what forbids it to be here; nil: nothing. It may be called with the session's mu held.
func (d *Denials) ofAdmission(a *Admission) *Denial {
	if a == nil || a.As == nil {
		return nil
	}
	p := Principal{User: a.As.User}
	if a.by != nil {
		p.Token = *a.by
	}
	return d.of(&p, "")
}

// deniedBy returns what a command or a request is answered that is forbidden.
func deniedBy(d *Denial) *Error {
	code := Unauthenticated
	if d.IsBan() {
		code = Forbidden
	}
	return failf(code, "%s", reasonOf(d).Text)
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
