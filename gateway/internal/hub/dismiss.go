package hub

import (
	"time"

	"tidegate/gateway/internal/pause"
)

// DismissWindow is over how much time those are sent away who would else all come back at
// once.
const DismissWindow = 3 * time.Second

// dismiss sends the members of an audience away, spread over the DismissWindow. They hear
// nothing of the channel any more. The caller holds ch.mu.
func (ch *Channel) dismiss(a *audience, d Dismissal) {
	members := a.members
	a.members = nil
	for i := range members {
		members[i].of.index = nowhere
	}
	life := ch.all.Life
	ch.all.Background.Go(func() {
		began := time.Now()
		for i := range members {
			if !pause.Until(life, began.Add(DismissWindow*time.Duration(i)/time.Duration(len(members)))) {
				return
			}
			members[i].of.by.Dismiss(d)
		}
	})
}
