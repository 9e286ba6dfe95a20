package config

import (
	"slices"
	"strings"
	"testing"
)

// Whatever the machine, the defaults fit into it.
func TestDefault_LimitsFitIntoTheMemory(t *testing.T) {
	for _, memory := range []int64{1 << 30, 2 << 30, 4 << 30, 64 << 30} {
		for _, descriptors := range []int{1024, 20_000, 1 << 20} {
			c := readWell(t, "redis.url: redis://127.0.0.1", nil)
			c.Limits, c.Connections = limitsWithin(descriptors, memory)
			sum, unbounded := c.Memory().Container()
			if sum > memory || len(unbounded) > 0 {
				t.Errorf("%d descriptors and %s: the sum is %s, without a bound are %q", descriptors, Size(memory), Size(sum), unbounded)
			}
			if c.Limits.Sessions < 500 {
				t.Errorf("%d descriptors and %s: only %d sessions", descriptors, Size(memory), c.Limits.Sessions)
			}
		}
	}
}

func TestMemory_SaysWhatHasNoBound(t *testing.T) {
	for limit, part := range map[string]string{
		"sessions":           "sessions",
		"subscriptions":      "subscriptions",
		"connections":        "HTTP connections",
		"outbox_total_bytes": "outboxes in all",
		"inbound_bytes":      "held for clients",
	} {
		c := readWell(t, "redis.url: redis://127.0.0.1\nlimits."+limit+": 0", nil)
		if _, unbounded := c.Memory().Container(); !slices.Contains(unbounded, part) {
			t.Errorf("limits.%s is 0: without a bound are %q, want %q among them", limit, unbounded, part)
		}
	}
	c := readWell(t, "channels: [{match: '*', history: {size: 1}}]", nil)
	if _, unbounded := c.Memory().Process(); !slices.Equal(unbounded, []string{"histories in memory"}) {
		t.Errorf("in memory: without a bound are %q", unbounded)
	}
}

func TestConfig_LimitsThatTheMachineCannotHold(t *testing.T) {
	c := read(t, "limits: {sessions: 900, connections: 100}", nil)
	c.warnOfTooLittle(1024, 64<<30)
	if got := c.warnings.Error(); !strings.Contains(got, "limits.sessions: with limits.connections 1000 may be open") {
		t.Errorf("warnings %q", got)
	}
	c = read(t, "limits: {sessions: 9000, connections: 100}", nil)
	c.warnOfTooLittle(1<<20, 256<<20)
	if got := c.warnings.Error(); !strings.Contains(got, "of memory in all, and there are 256 MiB") {
		t.Errorf("warnings %q", got)
	}
}
