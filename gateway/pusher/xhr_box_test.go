package pusher

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever passes on may find that there is nothing when the box has been stopped.
func TestBox_ThatIsStoppedExpiresNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired := false
		b := newBox(func() {}, func() { expired = true })
		b.stop()
		b.next()
		time.Sleep(2 * askPatience)
		synctest.Wait()
		if expired {
			t.Error("its timer has run")
		}
	})
}
