package hub

import (
	"slices"
	"time"

	"tidegate/gateway/internal/pause"
)

// DismissWindow is the time over which dismissals are spread, so that the clients do not all
// reconnect at once.
const DismissWindow = 3 * time.Second

// dismiss dismisses all members of an audience, spread over DismissWindow. They receive
// nothing more of the channel. The caller must hold ch.mu.
func (ch *Channel) dismiss(a *audience, d Dismissal) {
	members := slices.Clone(a.members)
	for i := range members {
		ch.remove(members[i].of)
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
