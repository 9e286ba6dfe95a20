package gateway

import (
	"context"
	"errors"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/rates"
)

// reader is on whose behalf something is read. A backend has no buckets.
type reader struct{ own, address *rates.Bucket }

var _ hub.Turn = reader{}

var errManyReads = failf(RateLimited, "too much is being read for you at a time: wait for the answers, then ask again")

// begin waits for a place. An error is a RateLimited.
func (r reader) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hub.ReadTimeout, errManyReads)
	defer cancel()
	if r.own.BeginRead(ctx) != nil {
		return r.refusal(ctx)
	}
	if r.address.BeginRead(ctx) != nil {
		r.own.EndRead()
		return r.refusal(ctx)
	}
	return nil
}

func (r reader) refusal(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errManyReads) {
		return errManyReads
	}
	return ErrorOf(context.Cause(ctx))
}

// Try is begin without the wait. It reports whether there was a place.
func (r reader) Try() bool {
	if !r.own.TryRead() {
		return false
	}
	if !r.address.TryRead() {
		r.own.EndRead()
		return false
	}
	return true
}

// End gives the place back.
func (r reader) End() {
	r.address.EndRead()
	r.own.EndRead()
}

// Wait waits until there is a place, and does not take it.
func (r reader) Wait(ctx context.Context) error {
	err := r.begin(ctx)
	if err == nil {
		r.End()
	}
	return err
}

// Read calls read, which has something read from the broker on behalf of p, for a
// request without a session from the given address. It waits while too much is being
// read for the same client; an error is read's, or a RateLimited.
func (b *Budget) Read(ctx context.Context, p *Principal, remote string, read func() error) error {
	if p.Backend() {
		return read()
	}
	own, address := b.bucketsOf(p, remote)
	defer b.rates.Release(own)
	defer b.rates.Release(address)
	r := reader{own, address}
	if err := r.begin(ctx); err != nil {
		return err
	}
	defer r.End()
	return read()
}
