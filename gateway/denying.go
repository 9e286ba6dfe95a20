package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/denials"
	"tidegate/gateway/internal/pause"
)

const (
	readRegister   = time.Second               // how often the register is polled
	defaultBan     = 24 * time.Hour            // duration of a ban
	defaultRevoked = 30 * 24 * time.Hour       // duration of a revocation
	longestDenial  = 10 * 365 * 24 * time.Hour // the longest duration allowed
	maxReason      = 100                       // in bytes; must fit into a close frame
)

// Deny adds a ban or a revocation for the whole cluster, effective at once and until
// what.Until; if that is zero, for a day, or for 30 days if it is about tokens. Deny sets By
// and Since. Sessions that it applies to end. If Deny returns nil, the denial is in force on
// every node, including those that start later. After an error it may not be in force yet,
// though it may be stored.
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
	switch err := d.enter(ctx, &what); {
	case errors.Is(err, broker.ErrRegisterFull):
		return Denial{}, failf(LimitExceeded, "as many bans and revocations are in force as can be: lift some first")
	case err != nil:
		return Denial{}, err
	}
	return what, d.spread(ctx)
}

// enter adds a denial to the register.
func (d *Denials) enter(ctx context.Context, what *Denial) error {
	value, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return d.register.Enter(ctx, what.ID(), value, time.Until(what.Until))
}

// Lift removes a denial by its ID. It returns NotFound if there is none.
func (d *Denials) Lift(ctx context.Context, id string) error {
	existed := false
	if r := d.register; r != nil && !strings.Contains(id, " ") {
		_ = d.renew(ctx) // it may be in force although the register has lost it
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

// All returns the denials in force, as this node knows them, sorted by ID.
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

// spread makes every node read the register.
func (d *Denials) spread(ctx context.Context) error {
	return askAll(ctx, d.nodes, refreshDenials, errand{}, func(struct{}) {})
}

// follow polls the register until ctx ends, for changes that this node was not told about.
func (d *Denials) follow(ctx context.Context) {
	for {
		if err := d.renew(ctx); err != nil && ctx.Err() == nil {
			d.log.Debug("bans and revocations are not read", "error", err) // the link's own check reports it
		}
		if !pause.For(ctx, readRegister) {
			return
		}
	}
}

// renew reads the register and updates the list.
func (d *Denials) renew(ctx context.Context) error {
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	entries, version, err := d.register.Entries(ctx, d.version)
	if err == nil && version < d.version && d.read.Load() {
		d.lost = d.All()
	}
	if err == nil && len(d.lost) > 0 {
		if err = d.enterLost(ctx, entries); err == nil {
			entries, version, err = d.register.Entries(ctx, d.version)
		}
	}
	if err != nil {
		return err
	}
	if version != d.version {
		d.list.Store(denials.NewList(d.decode(entries)))
		d.version = version
		d.changed()
	}
	d.read.Store(true)
	return nil
}

// enterLost enters what this node knows to be denied and the register, which has gone back to an
// older version, does not have: Redis has lost it. After an error the rest stays in lost.
func (d *Denials) enterLost(ctx context.Context, entries []broker.Entry) error {
	there := make(map[string]bool, len(entries))
	for _, entry := range entries {
		there[entry.Name] = true
	}
	d.lost = slices.DeleteFunc(d.lost, func(of Denial) bool { return there[of.ID()] })
	entered := 0
	defer func() {
		if entered > 0 {
			d.log.Warn("Redis had lost bans or revocations: they are in force again", "lost", entered)
		}
	}()
	for i := range d.lost {
		switch err := d.enter(ctx, &d.lost[i]); {
		case err == nil:
			entered++
		case !errors.Is(err, broker.ErrRegisterFull):
			d.lost = d.lost[i:]
			return err
		}
	}
	d.lost = nil
	return nil
}

// known returns an error until the register has been read for the first time.
func (d *Denials) known() error {
	if d.register != nil && !d.read.Load() {
		return errors.New("it is not known yet who is banned")
	}
	return nil
}

func (d *Denials) decode(entries []broker.Entry) (all []Denial) {
	for _, entry := range entries {
		of := Denial{Until: entry.Expires}
		if err := json.Unmarshal(entry.Value, &of); err != nil {
			d.log.Warn("a ban or a revocation of another version is not understood", "id", entry.Name, "error", err)
			continue
		}
		all = append(all, of)
	}
	return all
}
