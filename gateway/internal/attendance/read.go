package attendance

import (
	"context"
	"errors"
	"fmt"

	"tidegate/broker"
)

// read is one read of a channel's members, for all who ask for them before it
// begins.
type read struct {
	begun  bool // guarded by Attendance.mu
	done   chan struct{}
	roster broker.Roster // set before done is closed, and not changed any more
	err    error
	after  *read // the one that it waits for; nil: none
}

// read returns the members of a channel as of a moment after the call. However many
// ask, there is one read at a time, and one that waits for its end.
func (a *Attendance) read(ctx context.Context, channel string) (broker.Roster, error) {
	a.mu.Lock()
	r := a.reads[channel]
	if r == nil || r.begun {
		r = &read{done: make(chan struct{}), after: r}
		a.reads[channel] = r
		a.work.Go(func() { a.runRead(channel, r) })
	}
	a.mu.Unlock()
	if err := await(ctx, r.done); err != nil {
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
