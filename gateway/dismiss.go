package gateway

import (
	"math/rand/v2"
	"time"
)

// dismiss closes sessions spread over some seconds, so that they do not come
// back all at once.
func (g *Gateway) dismiss(sessions []*Session, reason Reason) {
	g.background.Go(func() {
		began := time.Now()
		for i, s := range sessions {
			if !pauseUntil(g.life, began.Add(dismissWindow*time.Duration(i)/time.Duration(len(sessions)))) {
				return
			}
			s.Close(reason)
		}
	})
}

const dismissWindow = 3 * time.Second

// endSoon closes a session for what it cannot be told otherwise. A gap is likely
// to be many sessions' at once: then it is at some moment of the dismissWindow.
func (g *Gateway) endSoon(s *Session, reason Reason) {
	if !reason.Is(Missed) {
		s.Close(reason)
		return
	}
	g.background.Go(func() {
		if pause(g.life, rand.N(dismissWindow)) {
			s.Close(reason)
		}
	})
}
