package gateway

import (
	"context"
	"errors"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/rates"
)

// reader is a client on whose behalf something is read. For a backend, both buckets are nil.
type reader struct{ own, address *rates.Bucket }

var _ hub.Turn = reader{}

var errManyReads = failf(RateLimited, "too much is being read for you at a time: wait for the answers, then ask again")

// begin waits for permission to read. An error has the code RateLimited if the wait was too
// long.
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

// Try is like begin, but does not wait. It reports whether the read may begin.
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

// End ends a read that begin or Try has permitted.
func (r reader) End() {
	r.address.EndRead()
	r.own.EndRead()
}

// Wait waits until a read is permitted, but does not begin it.
func (r reader) Wait(ctx context.Context) error {
	err := r.begin(ctx)
	if err == nil {
		r.End()
	}
	return err
}

// oweMembers charges the client for a list of so many members that it was given, beside the command:
// what it asks for next may come too fast.
func (r reader) oweMembers(members int) {
	r.own.Owe(members / membersShare)
	r.address.Owe(members / membersShare)
}

const membersShare = 1000 // this many listed members cost one command

// OweMembers charges p and the given address for a list of so many members, beside the cost of the
// request for it: their next requests may come too fast.
func (b *Budget) OweMembers(p *Principal, remote string, members int) {
	if p.Backend() {
		return
	}
	own, address := b.bucketsOf(p, remote)
	defer b.rates.Release(own)
	defer b.rates.Release(address)
	reader{own, address}.oweMembers(members)
}

// Read calls read, which reads something from the broker, on behalf of p for a request without
// a session from the given address. It first waits while too many reads run for the same
// client. It returns read's error, or that the wait was too long (RateLimited).
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
