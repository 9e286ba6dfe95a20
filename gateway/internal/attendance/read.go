package attendance

import (
	"context"
	"errors"
	"fmt"

	"tidegate/broker"
	"tidegate/gateway/internal/pause"
)

// read returns the members of a channel as of some moment after the call. However many
// callers there are, at most one read is running and one is waiting.
func (a *Attendance) read(ctx context.Context, channel string) (broker.Roster, error) {
	a.mu.Lock()
	r := a.reads[channel]
	if r == nil || r.begun {
		r = &read{done: make(chan struct{}), after: r}
		a.reads[channel] = r
		a.work.Go(func() { a.runRead(channel, r) })
	}
	a.mu.Unlock()
	if err := pause.Await(ctx, r.done, readPatience); err != nil {
		return broker.Roster{}, unavailable(err)
	}
	return r.roster, r.err
}

func (a *Attendance) runRead(channel string, r *read) {
	defer close(r.done)
	r.err = broker.ErrUnavailable // if it panics
	if r.after != nil {
		<-r.after.done
		r.after = nil
	}
	a.mu.Lock()
	r.begun = true
	a.mu.Unlock()
	r.roster, r.err = a.config.Presence.Members(a.life, channel)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reads[channel] == r {
		delete(a.reads, channel)
	}
}

func unavailable(err error) error {
	if errors.Is(err, broker.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
}

// Members returns who is on a channel in the whole cluster, ordered by user. It accounts for
// everyone who came or went on this node before the call. Members who linger have no sessions.
func (a *Attendance) Members(ctx context.Context, channel string) (broker.Roster, error) {
	if err := a.awaitStated(ctx, channel); err != nil {
		return broker.Roster{}, unavailable(err)
	}
	return a.read(ctx, channel)
}
