package websocket

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// publisherPeer publishes over a WebSocket, and receives its own messages. It allocates
// nothing.
type publisherPeer struct {
	*rawPeer
	frames []byte
}

// newPublisher returns a client that publishes the given number of messages by one write,
// and receives each of them.
func (n *node) newPublisher(channel string, messages int) *publisherPeer {
	p := &publisherPeer{rawPeer: n.dialUpgraded()}
	p.send(masked(final|opText, `{"type":"subscribe","id":1,"channel":"`+channel+`"}`))
	p.expectFrame(opText)
	command := masked(final|opText, fmt.Sprintf(`{"type":"publish","id":7,"channel":%q,"text":"%0128d"}`, channel, 0))
	for range messages {
		p.frames = append(p.frames, command...)
	}
	return p
}

// This test counts the allocations of one publication on the node, from the client's frame
// through Redis to the subscribers' frames.
func TestPublish_AllocatesLittle(t *testing.T) {
	for _, c := range []struct {
		name     string
		rule     rules.Rule
		together int // messages that the client sends by one write
		most     float64
	}{
		{"one by one", rules.Rule{}, 1, 22},
		{"together", rules.Rule{}, 32, 8},
		{"history, one by one", rules.Rule{HistorySize: 10, HistoryTTL: time.Minute}, 1, 28},
		{"history, together", rules.Rule{HistorySize: 10, HistoryTTL: time.Minute}, 32, 11.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			redis, err := broker.NewRedis(broker.RedisConfig{URL: brokertest.StartRedis(t).URL()})
			must(t, err)
			c.rule.Match, c.rule.Subscribe, c.rule.Publish = "*", rules.Anyone, rules.Anyone
			n := startNode(t, gateway.Config{Broker: redis, History: redis, Rules: rules.List{c.rule}, Limits: gateway.Limits{MessageBytes: 64 << 10}})
			p := n.newPublisher("chat", c.together)
			publish := func() {
				if _, err := p.Write(p.frames); err != nil {
					t.Fatal(err)
				}
				for range 2 * c.together { // the acknowledgment and the message
					p.skipFrame()
				}
			}
			for range 100 {
				publish()
			}
			if poolsForget() {
				c.most *= 1.5
			}
			got := math.Inf(1)
			for range 3 { // the minimum excludes periodic work of the node
				if got = min(got, testing.AllocsPerRun(300, publish)/float64(c.together)); got <= c.most {
					return
				}
			}
			t.Errorf("a publication allocates %.1f times, at most %v are wanted", got, c.most)
		})
	}
}

// skipFrame reads a frame of the gateway of at most 64 KB.
func (p *publisherPeer) skipFrame() {
	head, err := p.r.Peek(4)
	if err == nil {
		size := 2 + int(head[1])
		if head[1] == 126 {
			size = 4 + int(head[2])<<8 + int(head[3])
		}
		_, err = p.r.Discard(size)
	}
	must(p.t, err)
}

// poolsForget reports whether a sync.Pool drops some of its objects, as it does under the
// race detector.
func poolsForget() bool {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new(int) }}
	for range 1000 {
		pool.Put(pool.Get())
	}
	return made > 100
}
