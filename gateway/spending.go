package gateway

import (
	"cmp"
	"context"

	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/rates"
)

// spend takes what something costs that the client asks for.
func (s *Session) spend(cost rates.Cost) error {
	if s.who().Backend() {
		return nil
	}
	b := s.gateway.Budget
	return b.spend(s.purse.bucket(b), s.purse.address, cost)
}

// costOfWatching returns what it costs to watch so many users, up to what a client has in
// half a second.
func (l *Limits) costOfWatching(users int) rates.Cost {
	commands := (users + watchedShare - 1) / watchedShare
	if l.CommandsPerSecond > 0 {
		commands = min(commands, l.CommandsPerSecond/2)
	}
	return rates.Cost{Commands: commands}
}

const watchedShare = 10 // users who are watched for one command

// Payer is Budget.Payer of the session, as whom it acts now.
func (s *Session) Payer() *rates.Bucket {
	if s.who().Backend() {
		return s.gateway.Budget.backends
	}
	return s.purse.address
}

// reader returns the session as one for whom something is read.
func (s *Session) reader() reader {
	if s.who().Backend() {
		return reader{}
	}
	return reader{s.purse.bucket(s.gateway.Budget), s.purse.address}
}

// hold is called when a command has been refused since it came too fast. It waits
// while the client is to be read no further.
func (s *Session) hold(ctx context.Context) {
	wait, enough := s.purse.refuse(cmp.Or(s.gateway.limits.CommandsPerSecond, refusals))
	switch {
	case enough:
		s.Close(Policy.With("commands came faster than allowed for " + floodPatience.String() + ": slow down"))
	case wait > 0:
		s.Rest()
		pause.For(ctx, wait)
	}
}
