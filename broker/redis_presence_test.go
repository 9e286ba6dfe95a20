package broker_test

import (
	"slices"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// TestRedis_PutSaysWhatIsInLine: what was put in line before Redis refused more is not
// to be put there again.
func TestRedis_PutSaysWhatIsInLine(t *testing.T) {
	t.Parallel()
	server := brokertest.StartRedis(t)
	server.CLI("SET", "tidegate:tidegate notices broken", "no line")
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	const batch = 100
	list := slices.Repeat([]broker.Notice{{Line: "shop", Event: "published", Channel: "a"}}, batch)
	list = append(list, broker.Notice{Line: "broken", Event: "published", Channel: "a"})
	inLine, err := b.Put(t.Context(), broker.Attendant{Node: "n", Lease: time.Minute}, list)
	if want := append(slices.Repeat([]bool{true}, batch), false); err == nil || !slices.Equal(inLine, want) {
		t.Errorf("in line are %v, %v", inLine, err)
	}
	line, err := b.Take(t.Context(), broker.Teller{Line: "shop", Node: "n", Lease: time.Minute, Most: 1000})
	if err != nil || len(line.Notices) != batch {
		t.Errorf("%d notices are in line, %v", len(line.Notices), err)
	}
}
