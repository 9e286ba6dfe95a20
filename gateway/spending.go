package gateway

import (
	"cmp"
	"context"
	"time"

	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/rates"
)

// spend charges the client for something it asks for.
func (s *Session) spend(cost rates.Cost) error {
	if s.who().Backend() {
		return nil
	}
	b := s.gateway.Budget
	return b.spend(s.purse.bucket(b), s.purse.address, cost)
}

// awaitTurn charges the client for one command and, if it has nothing left, waits until that is
// covered, but for turnPatience at most: its pings are not answered meanwhile.
func (s *Session) awaitTurn(ctx context.Context) {
	if wait := s.owe(1); wait > 0 {
		s.Rest()
		pause.For(ctx, min(wait, turnPatience))
	}
}

const turnPatience = authPatience / 2 // else a sign-in that waits could come too late

// owe charges the client, unless it is a backend, for commands even if it has not enough left. It
// returns how long it takes until they are covered.
func (s *Session) owe(commands int) time.Duration {
	if s.who().Backend() {
		return 0
	}
	return max(s.purse.bucket(s.gateway.Budget).Owe(commands), s.purse.address.Owe(commands))
}

const watchedShare = 10 // this many watched users cost one command

// Payer returns what Budget.Payer returns for the session and its current principal.
func (s *Session) Payer() *rates.Bucket {
	if s.who().Backend() {
		return s.gateway.Budget.backends
	}
	return s.purse.address
}

// reader returns the reader for the session's client.
func (s *Session) reader() reader {
	if s.who().Backend() {
		return reader{}
	}
	return reader{s.purse.bucket(s.gateway.Budget), s.purse.address}
}

// hold is called after a command was refused for coming too fast. It waits while the client
// must not be read from, or ends the session if the client has not slowed down for too long.
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
