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

// Deny forbids something in the whole cluster, from now on until what.Until; zero: for a
// day, or 30 days if it is about tokens. By and Since are set. Sessions that it is
// about end. When it returns nil it holds on every node, and on those that start
// later; an error says that it may not hold yet, though it may be stored.
func (d *Denials) Deny(ctx context.Context, p *Principal, what Denial) (Denial, error) {
	if d.register == nil {
		return Denial{}, failf(NotFound, "nothing can be banned or revoked here: the broker keeps no register")
	}
	what.By, what.Since = p.Key, time.Now().UTC().Truncate(time.Second)
	if what.Until.IsZero() {
		what.Until = what.Since.Add(defaultRevoked)
		if what.IsBan() {
			what.Until = what.Since.Add(defaultBan)
		}
	}
	if err := checkDenial(&what); err != nil {
		return Denial{}, err
	}
	value, err := what.Encode()
	if err == nil {
		err = d.register.Enter(ctx, what.ID(), value, time.Until(what.Until))
	}
	switch {
	case errors.Is(err, broker.ErrRegisterFull):
		return Denial{}, failf(LimitExceeded, "as many bans and revocations are in force as can be: lift some first")
	case err != nil:
		return Denial{}, err
	}
	return what, d.spread(ctx)
}

// Lift takes a denial back by its ID, and returns NotFound if there is none.
func (d *Denials) Lift(ctx context.Context, id string) error {
	existed := false
	if r := d.register; r != nil && !strings.Contains(id, " ") {
		var err error
		if existed, err = r.Strike(ctx, id); err != nil {
			return err
		}
	}
	if !existed {
		return failf(NotFound, "no ban or revocation %q is in force", id)
	}
	return d.spread(ctx)
}

// All returns what is forbidden now, as this node knows it, by ID.
func (d *Denials) All() []Denial {
	now := time.Now()
	all := slices.DeleteFunc(slices.Clone(d.list.Load().All()), func(of Denial) bool { return !now.Before(of.Until) })
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

// spread has every node read the register.
func (d *Denials) spread(ctx context.Context) error {
	return askAll(ctx, d.nodes, refreshDenials, errand{}, func(struct{}) {})
}

// follow reads the register from time to time, for what this node was not
// told, until ctx ends.
func (d *Denials) follow(ctx context.Context) {
	for {
		if err := d.renew(ctx); err != nil && ctx.Err() == nil {
			d.log.Debug("bans and revocations are not read", "error", err) // the link's own check tells of it
		}
		if !pause.For(ctx, readRegister) {
			return
		}
	}
}

// renew brings what is forbidden up to date.
func (d *Denials) renew(ctx context.Context) error {
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
		d.list.Store(denials.NewList(d.decode(entries)))
		d.version = version
		d.changed()
	}
	select {
	case <-d.read:
	default:
		close(d.read)
	}
	return nil
}

// known returns nil once this node knows what is forbidden.
func (d *Denials) known() error {
	if d.register == nil {
		return nil
	}
	select {
	case <-d.read:
		return nil
	default:
		return errors.New("it is not known yet who is banned")
	}
}

func (d *Denials) decode(entries []broker.Entry) (all []Denial) {
	for _, entry := range entries {
		of, err := denials.Decode(entry.Value, entry.Expires)
		if err != nil {
			d.log.Warn("a ban or a revocation of another version is not understood", "id", entry.Name, "error", err)
			continue
		}
		all = append(all, of)
	}
	return all
}
