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

// Denials are the bans and token revocations of the whole cluster, as this node knows them.
// The broker's register stores them for other nodes and for restarts. All methods are safe
// for concurrent use.
type Denials struct {
	// Immutable.
	register broker.Register // nil: nothing can be denied
	nodes    *Nodes
	metrics  *metrics.Metrics
	log      *slog.Logger
	changed  func() // called after the list has changed

	list    atomic.Pointer[denials.List]
	version uint64        // version of the register that list was read from; owned by the goroutine that holds reading
	lost    []Denial      // those that the register has lost and has yet to get again; owned like version
	reading chan struct{} // a semaphore: its holder may read the register
	read    atomic.Bool   // the register has been read
}

// Denial is a ban or a revocation; it has one of Token, User and Address.
type Denial = denials.Denial

func newDenials(r broker.Register, n *Nodes, m *metrics.Metrics, changed func()) *Denials {
	d := &Denials{
		register: r, nodes: n, metrics: m, log: n.log, changed: changed,
		version: math.MaxUint64, reading: make(chan struct{}, 1),
	}
	d.list.Store(&denials.List{})
	return d
}

// Admit returns an error if p, or the address that its request comes from, is denied.
func (d *Denials) Admit(p *Principal, remote string) error {
	denial := d.of(p, remote)
	if denial == nil {
		return nil
	}
	label := refusedRevoked
	if denial.IsBan() {
		label = refusedBanned
	}
	d.metrics.Commands.AuthFailures.Count(label)
	return deniedBy(denial)
}

// of returns the Denial that applies to p at the given address, or nil.
func (d *Denials) of(p *Principal, remote string) *Denial {
	if p.Backend() {
		return nil
	}
	address, _ := netip.ParseAddr(hostOf(remote)) // no ban matches the zero address
	return d.list.Load().Find(denials.Client{
		User: p.User, Token: p.Token.ID, Issued: p.Token.Issued, ByToken: p.Token.Shown,
		Address: address.Unmap().WithZone(""),
	}, time.Now())
}

// check returns an error if an Admission is denied. It does not consider what is denied to the
// session itself. It may be called with places.mu held.
func (d *Denials) check(a *Admission) error {
	if a == nil || a.As == nil {
		return nil
	}
	p := Principal{User: a.As.User}
	if a.by != nil {
		p.Token = *a.by
	}
	if denial := d.of(&p, ""); denial != nil {
		return deniedBy(denial)
	}
	return nil
}

// deniedBy returns the error with which a denied command or request is answered.
func deniedBy(d *Denial) *Error {
	code := Unauthenticated
	if d.IsBan() {
		code = Forbidden
	}
	return failf(code, "%s", reasonOf(d).Text)
}

// reasonOf returns the Reason with which a denied session ends.
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
