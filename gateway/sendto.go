package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"

	"tidegate/gateway/internal/rates"
)

// FindSession returns the session with the given ID, on whatever node it is open. It returns
// NotFound if there is none.
func (u *Users) FindSession(ctx context.Context, id string) (found SessionInfo, err error) {
	if !u.finding.TryRead() {
		return SessionInfo{}, failf(Unavailable, "this node looks for as many sessions as it can: try again")
	}
	defer u.finding.EndRead()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	err = askAll(ctx, u.nodes, findSession, errand{Whose: Whose{Session: id}}, func(info SessionInfo) {
		found = info
		enough() // no other node has it
	})
	switch {
	case found.Session != "":
		return found, nil
	case err == nil:
		err = failf(NotFound, "no session %q is open", id)
	}
	return SessionInfo{}, err
}

// SendTo passes a client's frame to its session on any node. It is for transports whose
// clients send by requests, which may arrive at a node other than the session's; such a
// transport does not call Receive itself. SendTo returns when the session's node has queued
// the frame. The error is nil or an *Error: NotFound if the session is not open there,
// Forbidden if key is not the session's Hello.Key, RateLimited if the session has too much
// queued, Unavailable if its node holds too much for clients or if the frame may or may not
// have arrived. The client must have presented the key, since anybody may know the ID. Frames
// sent by one goroutine are handled in order. The caller charges the client: see Spend.
func (u *Users) SendTo(ctx context.Context, node, session, key string, frame Frame) error {
	return u.nodes.Tell(ctx, node, sessionFrame, sentFrame{session, key, frame.Data, frame.Binary})
}

// Spend charges an address for a request of a client with a session on any node. An error has
// the code RateLimited, or Forbidden if the address is banned.
func (u *Users) Spend(remote string) error {
	if err := u.denials.Admit(&Principal{}, remote); err != nil {
		return err
	}
	address := u.budget.rates.Address(NetworkOf(remote))
	defer u.budget.rates.Release(address)
	return u.budget.spend(nil, address, rates.Cost{Commands: 1})
}

// sentFrame is a client's frame on its way to the session's node.
type sentFrame struct {
	Session string `json:"session"`
	Key     string `json:"key"`
	Data    []byte `json:"data"`
	Binary  bool   `json:"binary,omitempty"`
}

// hearFrame queues a frame from another node for one of this node's sessions.
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
	return s.Enqueue(Frame{Data: f.Data, Binary: f.Binary})
}

// Enqueue is SendTo for a session of this node, with a Hello.Key, whose client is known.
func (s *Session) Enqueue(frame Frame) error {
	f, budget := lined{frame, s.Payer()}, s.gateway.Budget
	if err := budget.Hold(f.payer, len(f.Data)); err != nil {
		return err
	}
	first, err := s.special.inLine().put(f, max(s.gateway.limits.OutboxBytes, DefaultLimits().OutboxBytes))
	if err != nil {
		budget.LetGo(f.payer, len(f.Data))
	}
	if first {
		s.goOn(s.receiveInLine)
	}
	return err
}

func (s *Session) receiveInLine() {
	queue := s.special.inLine()
	for f, waits := queue.next(); waits; f, waits = queue.next() {
		if err := s.Receive(s.gateway.life, f.Frame); err != nil {
			s.End(err)
		}
		s.gateway.Budget.LetGo(f.payer, len(f.Data))
	}
	s.Rest()
}
