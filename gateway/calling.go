package gateway

import (
	"context"
	"unicode/utf8"

	"tidegate/broker"
)

const maxMethod = 255

// call passes a Call to the backend, if that accepts calls, and sends the answer.
func (s *Session) call(ctx context.Context, c Call) error {
	p := s.who()
	most := s.gateway.limits.MessageBytes
	switch {
	case !s.gateway.asks(OnRPC, p):
		return failf(NotFound, "there is nobody who answers calls")
	case len(c.Method) > maxMethod || !utf8.ValidString(c.Method):
		return failf(BadRequest, "a method has at most %d bytes of UTF-8", maxMethod)
	case most > 0 && len(c.Payload) > most:
		return failf(TooLarge, "the call has %d bytes: at most %d are allowed", len(c.Payload), most)
	case c.Kind == broker.JSON && broker.Nested(c.Payload):
		return errNested
	}
	q := s.gateway.question(ctx, OnRPC, *p, s)
	q.Call = &c
	if err := s.gateway.hooks.Ask(ctx, &q); err != nil {
		return err
	}
	switch {
	case q.Answer == nil:
		return failf(Unavailable, "the backend that answers this is away: try again shortly")
	case q.Answer.Kind == broker.JSON && broker.Nested(q.Answer.Payload):
		return errNested
	}
	q.Answer.ID = c.ID
	s.tell(*q.Answer)
	return nil
}
