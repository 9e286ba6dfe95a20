package gateway

import (
	"math/rand/v2"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

// tell sends an event to the client. If the protocol cannot express it, the session ends shortly.
func (s *Session) tell(event Event) {
	frame, _ := s.frameOf(event)
	s.push(frame)
}

// frameOf returns the frame of an event. If the protocol cannot express the event, said is
// false and the session ends shortly.
func (s *Session) frameOf(event Event) (frame []byte, said bool) {
	encoded, err := s.dialect.encode(event)
	if err != nil {
		reason := ReasonOf(err)
		s.gateway.soon(reason, func() { s.Close(reason) })
	}
	return encoded.Data, err == nil
}

// mention sends an event to the client, unless the protocol could only end the session to
// express it.
func (s *Session) mention(event Event) {
	if frame, err := s.dialect.encode(event); err == nil {
		s.push(frame.Data)
	}
}

// soon calls end, for a client that cannot be told otherwise. For a gap, which is likely to affect
// many sessions at once, it waits for a random time within hub.DismissWindow.
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
