package gateway

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/denials"
	"tidegate/gateway/internal/pause"
)

const (
	readRegister   = time.Second               // how often the register is looked at
	defaultBan     = 24 * time.Hour            // how long a ban lasts
	defaultRevoked = 30 * 24 * time.Hour       // how long a revocation lasts
	longestDenial  = 10 * 365 * 24 * time.Hour // how long any may last
	maxReason      = 100                       // bytes, so that a close frame has room for it
)

// Deny forbids something in the whole cluster, from now on until d.Until; zero: for a
// day, or 30 days if it is about tokens. By and Since are set. Sessions that it is
// about end. When it returns nil it holds on every node, and on those that start
// later; an error says that it may not hold yet, though it may be stored.
func (g *Gateway) Deny(ctx context.Context, p *Principal, d Denial) (Denial, error) {
	if g.denying.register == nil {
		return Denial{}, failf(NotFound, "nothing can be banned or revoked here: the broker keeps no register")
	}
	d.By, d.Since = p.Key, time.Now().UTC().Truncate(time.Second)
	if d.Until.IsZero() {
		d.Until = d.Since.Add(defaultRevoked)
		if d.IsBan() {
			d.Until = d.Since.Add(defaultBan)
		}
	}
	if err := checkDenial(&d); err != nil {
		return Denial{}, err
	}
	value, err := d.Encode()
	if err == nil {
		err = g.denying.register.Enter(ctx, d.ID(), value, time.Until(d.Until))
	}
	switch {
	case errors.Is(err, broker.ErrRegisterFull):
		return Denial{}, failf(LimitExceeded, "as many bans and revocations are in force as can be: lift some first")
	case err != nil:
		return Denial{}, err
	}
	return d, g.spreadDenials(ctx)
}

// Lift takes a denial back by its ID, and returns NotFound if there is none.
func (g *Gateway) Lift(ctx context.Context, id string) error {
	existed := false
	if r := g.denying.register; r != nil && !strings.Contains(id, " ") {
		var err error
		if existed, err = r.Strike(ctx, id); err != nil {
			return err
		}
	}
	if !existed {
		return failf(NotFound, "no ban or revocation %q is in force", id)
	}
	return g.spreadDenials(ctx)
}

// Denials returns what is forbidden now, as this node knows it, by ID.
func (g *Gateway) Denials() []Denial {
	now := time.Now()
	all := slices.DeleteFunc(slices.Clone(g.denying.list.Load().All()), func(d Denial) bool { return !now.Before(d.Until) })
	slices.SortFunc(all, func(a, b Denial) int { return strings.Compare(a.ID(), b.ID()) })
	return all
}

func checkDenial(d *Denial) error {
	switch left := time.Until(d.Until); {
	case d.Address.IsValid() && d.Address.Masked() != d.Address:
		return failf(BadRequest, "the address %v has bits set beyond its length: want %v", d.Address, d.Address.Masked())
	case len(d.Token) > maxTokenID:
		return failf(BadRequest, "the token's id has %d bytes: at most %d are allowed", len(d.Token), maxTokenID)
	case d.Token == "" && d.User == "" && !d.Address.IsValid():
		return failf(BadRequest, "say what it is about")
	case len(d.Reason) > maxReason:
		return failf(BadRequest, "the reason has %d bytes: at most %d are allowed", len(d.Reason), maxReason)
	case left <= 0 || left > longestDenial:
		return failf(BadRequest, "it is to last %v: want a time above 0, of at most ten years", left.Round(time.Second))
	case d.User != "":
		return checkUser(d.User)
	}
	return nil
}

const maxTokenID = 512

// spreadDenials has every node read the register.
func (g *Gateway) spreadDenials(ctx context.Context) error {
	return askAll(ctx, g, refreshDenials, errand{}, func(struct{}) {})
}

// followDenials reads the register from time to time, for what this node was not
// told, until ctx ends.
func (g *Gateway) followDenials(ctx context.Context) {
	for {
		if err := g.readDenials(ctx); err != nil && ctx.Err() == nil {
			g.log.Debug("bans and revocations are not read", "error", err) // the link's own check tells of it
		}
		if !pause.For(ctx, readRegister) {
			return
		}
	}
}

// readDenials brings what is forbidden up to date, and ends the sessions that must
// not be here any more.
func (g *Gateway) readDenials(ctx context.Context) error {
	d := g.denying
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	entries, version, err := d.register.Entries(ctx, d.version)
	if err != nil {
		return err
	}
	if version != d.version {
		d.list.Store(denials.NewList(g.decodeDenials(entries)))
		d.version = version
		g.expel()
	}
	select {
	case <-d.known:
	default:
		close(d.known)
	}
	return nil
}

func (g *Gateway) decodeDenials(entries []broker.Entry) []Denial {
	var all []Denial
	for _, entry := range entries {
		d, err := denials.Decode(entry.Value, entry.Expires)
		if err != nil {
			g.log.Warn("a ban or a revocation of another version is not understood", "id", entry.Name, "error", err)
			continue
		}
		all = append(all, d)
	}
	return all
}

// expel ends the sessions of who is forbidden to be here, and the subscriptions of who was
// admitted to a channel by a token that is revoked, or as a user that is banned.
func (g *Gateway) expel() {
	for _, s := range g.sessions.all() {
		if d := g.denial(s.who(), s.remote); d != nil {
			s.Close(reasonOf(d))
		} else {
			s.leaveForbidden()
		}
	}
}
