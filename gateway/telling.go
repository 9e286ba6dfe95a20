package gateway

import (
	"math/rand/v2"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

// tell sends the client an event. It reports false if its protocol cannot say it: then
// the session ends, shortly.
func (s *Session) tell(event Event) (said bool) {
	frame, said := s.frameOf(event)
	s.push(frame)
	return said
}

// frameOf returns an event as the client is told it. If its protocol cannot say it,
// said is false and the session ends, shortly.
func (s *Session) frameOf(event Event) (frame []byte, said bool) {
	encoded, err := s.dialect.encode(event)
	if err != nil {
		s.gateway.endSoon(s, ReasonOf(err))
	}
	return encoded.Data, err == nil
}

// mention sends the client an event, unless its protocol has no way to say it but
// to end the session.
func (s *Session) mention(event Event) {
	if frame, err := s.dialect.encode(event); err == nil {
		s.push(frame.Data)
	}
}

// endSoon closes a session for what it cannot be told otherwise.
func (g *Gateway) endSoon(s *Session, reason Reason) { g.soon(reason, func() { s.Close(reason) }) }

// soon calls end, which is due for a reason. A gap is likely to be many sessions' at
// once: then it is at some moment of the hub.DismissWindow.
func (g *Gateway) soon(reason Reason, end func()) {
	if !reason.Is(Missed) {
		end()
		return
	}
	g.background.Go(func() {
		if pause.For(g.life, rand.N(hub.DismissWindow)) {
			end()
		}
	})
}
