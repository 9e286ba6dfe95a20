package broker

import (
	"log/slog"
	"testing"
)

// A pipeline that a slow network cannot carry in time confirms nothing.
func TestLane_TakesNoMorePerPipelineThanANetworkCarries(t *testing.T) {
	s := newServers(newRedisNames("tidegate:", 1, false), newWatch(slog.New(slog.DiscardHandler), RedisObserver{}), redisTarget{})
	for _, o := range []PublishOptions{{}, {Bare: true}, {HistorySize: 10}} {
		l := newLane(s, nil, newPartitions(s, 0)[0], publishing, &spares{})
		for _, c := range []struct{ messages, size, taken int }{
			{3, 2 * publishMostBytes, 1}, {5, publishMostBytes/2 - 1000, 2}, {2 * publishMost, 10, publishMost},
		} {
			l.queue = nil
			for range c.messages {
				l.publish(Message{Channel: "a", Payload: make([]byte, c.size), Kind: Binary}, o, nil)
			}
			if got := len(l.take(nil)); got != c.taken || len(l.queue) != c.messages-c.taken || len(l.wake) != 1 {
				t.Errorf("%+v: of %d messages of %d bytes a pipeline takes %d, want %d", o, c.messages, c.size, got, c.taken)
			}
		}
		l.timer.Stop()
	}
}
