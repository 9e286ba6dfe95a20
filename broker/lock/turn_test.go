package lock

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for a turn does not keep virtual time from going on, and has it alone.
func TestTurn_IsHeldByOneAtATimeOverVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var joining Turn[Joining]
		began, holders := time.Now(), 0
		for range 3 {
			go func() {
				joining.Lock()
				defer joining.Unlock()
				if holders++; holders > 1 {
					t.Error("two hold it")
				}
				time.Sleep(time.Second)
				holders--
			}()
		}
		time.Sleep(time.Millisecond)
		joining.Lock()
		defer joining.Unlock()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it was free after %v", took)
		}
	})
}
