package broker

import (
	"testing"
)

// queues returns lanes that share an exchange, which is not running.
func queues(clustered bool) ([]*lane, *exchange) {
	s := newServers(RedisConfig{}.withDefaults(), newRedisNames("tidegate:", 4, clustered), redisTarget{})
	lanes, exchanges := newLanes(s, &board{all: newPartitions(s, 0)}, publishing, &spares{})
	return lanes, exchanges[0]
}

func (l *lane) fill(messages, size int, o PublishOptions) {
	for range messages {
		l.publish(Message{Channel: "a", Payload: make([]byte, size), Kind: Binary}, o, nil)
	}
}

// A pipeline that a slow network cannot carry in time confirms nothing.
func TestLane_TakesNoMorePerPipelineThanANetworkCarries(t *testing.T) {
	for _, o := range []PublishOptions{{}, {Bare: true}, {HistorySize: 10}} {
		for _, c := range []struct{ messages, size, taken int }{
			{3, 2 * publishMostBytes, 1}, {5, publishMostBytes/2 - 1000, 2}, {2 * publishMost, 10, publishMost},
		} {
			lanes, e := queues(false)
			l := lanes[0]
			l.fill(c.messages, c.size, o)
			e.collect()
			got := len(e.load.batch)
			l.goOn()
			if got != c.taken || len(l.queue) != c.messages-c.taken || len(e.lanes) != 1 || len(e.wake) != 1 {
				t.Errorf("%+v: of %d messages of %d bytes a pipeline takes %d, want %d", o, c.messages, c.size, got, c.taken)
			}
			l.timer.Stop()
		}
	}
}

// The partitions of a master take turns in its pipelines, which are no larger for that.
func TestExchange_GivesEachLaneItsTurn(t *testing.T) {
	lanes, e := queues(true)
	for i, size := range []int{publishMostBytes / 4, publishMostBytes / 2, publishMostBytes / 2} {
		defer func() { lanes[i].timer.Stop() }()
		lanes[i].fill(8, size, PublishOptions{})
	}
	served := make(map[*lane]int)
	for range 8 {
		e.collect()
		if e.load.bytes > publishMostBytes {
			t.Errorf("a pipeline of %d bytes", e.load.bytes)
		}
		for _, s := range e.shares {
			served[s.lane] += len(s.batch)
			if _, moved := s.lane.over(s.batch, nil); moved {
				t.Error("what was not sent has moved")
			}
			s.lane.goOn()
		}
	}
	for i, l := range lanes[:3] {
		if served[l] < 2 {
			t.Errorf("of the lane %d only %d messages are sent in 8 pipelines", i, served[l])
		}
	}
	if len(e.lanes) == 0 {
		t.Error("nothing is left to be sent")
	}
}
