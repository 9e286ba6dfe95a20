package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"

	"tidegate/gateway/internal/rates"
)

// FindSession returns what is known of a session that is open on any node. Without
// one the error's code is NotFound.
func (u *Users) FindSession(ctx context.Context, id string) (found SessionInfo, err error) {
	if !u.finding.TryRead() {
		return SessionInfo{}, failf(Unavailable, "this node looks for as many sessions as it can: try again")
	}
	defer u.finding.EndRead()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	err = askAll(ctx, u.nodes, findSession, errand{Session: id}, func(info SessionInfo) {
		found = info
		enough() // nobody else has it
	})
	switch {
	case found.Session != "":
		return found, nil
	case err == nil:
		err = failf(NotFound, "no session %q is open", id)
	}
	return SessionInfo{}, err
}

// SendTo hands a frame of its client's to a session on any node, for transports on
// which a client sends by requests that may come to another node than the one that
// it hears. It returns once the session's node has put the frame in line: nil, or an
// *Error: NotFound if the session is not open there, RateLimited if it has too much
// in line, Unavailable if its node holds too much for clients, or if the frame may or may
// not have come. The address that the
// request comes from pays for it as for a command; empty: nobody does. What one goroutine
// sends is handled in that order. The transport of such a session receives nothing
// for it by itself. The key is the session's Hello.Key, which the client must have
// shown: everybody may know the id. With another the error is Forbidden.
func (u *Users) SendTo(ctx context.Context, remote, node, session, key string, frame Frame) error {
	if err := u.Spend(remote); err != nil {
		return err
	}
	err := u.nodes.cluster.Tell(ctx, node, sessionFrame, sentFrame{session, key, frame.Data, frame.Binary})
	if err != nil {
		return ErrorOf(err)
	}
	return nil
}

// Spend takes from an address what a request of a client's costs that has a session
// on any node; an error is a RateLimited, or a Forbidden if the address is banned.
func (u *Users) Spend(remote string) error {
	if remote == "" {
		return nil
	}
	if err := u.denials.Admit(&Principal{}, remote); err != nil {
		return err
	}
	address := u.budget.rates.Address(NetworkOf(remote))
	defer u.budget.rates.Release(address)
	return u.budget.spend(nil, address, rates.Cost{Commands: 1})
}

// sentFrame is a client's frame on its way to the node that has its session.
type sentFrame struct {
	Session string `json:"session"`
	Key     string `json:"key"`
	Data    []byte `json:"data"`
	Binary  bool   `json:"binary,omitempty"`
}

// hearFrame takes a frame for one of this node's sessions.
func (r *sessions) hearFrame(_ string, body json.RawMessage) error {
	var f sentFrame
	if err := json.Unmarshal(body, &f); err != nil {
		return failf(BadRequest, "%v", err)
	}
	s := r.named(f.Session)
	if s == nil || !s.out.Open() {
		return failf(NotFound, "no session %q is open", f.Session)
	}
	if key := s.special.key; key == "" || subtle.ConstantTimeCompare([]byte(key), []byte(f.Key)) == 0 {
		return failf(Forbidden, "this is not the key of the session %q", f.Session)
	}
	return s.line(Frame{Data: f.Data, Binary: f.Binary})
}

// line puts a frame in line to be received.
func (s *Session) line(frame Frame) error {
	f, budget := lined{frame, s.Payer()}, s.gateway.Budget
	if err := budget.Hold(f.payer, len(f.Data)); err != nil {
		return err
	}
	first, err := s.special.inLine.put(f, max(s.gateway.limits.OutboxBytes, DefaultLimits().OutboxBytes))
	if err != nil {
		budget.LetGo(f.payer, len(f.Data))
	}
	if first {
		s.goOn(s.receiveInLine)
	}
	return err
}

func (s *Session) receiveInLine() {
	for f, waits := s.special.inLine.next(); waits; f, waits = s.special.inLine.next() {
		if err := s.Receive(s.gateway.life, f.Frame); err != nil {
			s.End(err)
		}
		s.gateway.Budget.LetGo(f.payer, len(f.Data))
	}
	s.Rest()
}
