package pusher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
)

// counted records the counts that were sent to nodes. One node may be slow.
type counted struct {
	mu    sync.Mutex
	slow  string
	calls []string
}

func (c *counted) send(ctx context.Context, node string, counts map[string]int) error {
	c.mu.Lock()
	slow := c.slow == node
	c.mu.Unlock()
	if slow {
		time.Sleep(time.Second)
		return errors.New("no answer in time")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, strings.Replace(fmt.Sprint(node, counts), "map", " ", 1))
	return nil
}

func (c *counted) took() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	slices.Sort(calls)
	return calls
}

func of(channel string, sessions int) gateway.Notice {
	return gateway.Notice{Event: gateway.OnSessionsChanged, Channel: channel, Sessions: sessions}
}

// A slow node must not delay the others, nor cause counts to be sent to them twice.
func TestCounter_TellsEachNodeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told counted
		alive := []gateway.NodeInfo{{Node: "a"}, {Node: "b"}, {Node: "c"}}
		c := &counter{send: told.send, nodes: func(context.Context) ([]gateway.NodeInfo, error) { return alive, nil }}
		takes := func(fails bool, notices []gateway.Notice, want ...string) {
			t.Helper()
			began := time.Now()
			if err := c.tell(t.Context(), notices); (err != nil) != fails {
				t.Errorf("telling: %v", err)
			}
			if took := time.Since(began); took > countPause+time.Second {
				t.Errorf("it took %v", took)
			}
			if got := told.took(); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		takes(false, []gateway.Notice{of("x", 1), of("x", 2)}, "a [x:2]", "b [x:2]", "c [x:2]")
		told.slow = "b"
		line := []gateway.Notice{of("x", 3), of("y", 1)}
		takes(true, line, "a [x:3 y:1]", "c [x:3 y:1]")
		takes(true, line)
		line = append(line, of("x", 4))
		takes(true, line, "a [x:4]", "c [x:4]")
		told.slow = ""
		takes(false, line, "b [x:4 y:1]")
		takes(false, []gateway.Notice{of("x", 4)}, "a [x:4]", "b [x:4]", "c [x:4]")

		told.slow = "b"
		takes(true, line, "a [x:4 y:1]", "c [x:4 y:1]")
		time.Sleep(toldLasts) // meanwhile another node may have sent counts
		takes(true, line, "a [x:4 y:1]", "c [x:4 y:1]")
		alive = alive[:1]
		takes(false, line)
	})
}
