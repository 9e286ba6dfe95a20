package gateway

import (
	"math/rand/v2"

	"tidegate/gateway/internal/hub"
	"tidegate/gateway/internal/pause"
)

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
