package gateway_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

func (n *node) load(most int) gateway.Load {
	n.t.Helper()
	l, err := n.Nodes.Load(n.t.Context(), most)
	must(n.t, err)
	return l
}

func isNear(got, want float64) bool { return math.Abs(got-want) < 0.01 }

func TestLoad_RatesAreOfTheTimeSinceItWasAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		fast, slow := n.connectAs("alice", "busy", "calm", "quiet"), n.connectAs("bob", "busy")
		if l := n.load(9); len(l.Nodes) != 1 || l.Nodes[0].Rates != nil || l.Nodes[0].Sessions != 2 || l.Nodes[0].Unready != "" || len(l.Channels) > 0 {
			t.Fatalf("asked first: %+v", l)
		}
		resume := slow.stall()
		defer resume()
		for range 10 {
			n.publish("busy", "hello")
		}
		n.publish("calm", "hello")
		fast.expect("message calm hello")
		time.Sleep(2 * time.Second)
		l := n.load(9)
		is, rates := l.Nodes[0], l.Nodes[0].Rates
		if rates == nil || rates.Over != 2 || !isNear(rates.Published, 5.5) || !isNear(rates.Received, 5.5) || !isNear(rates.Delivered, 5.5) ||
			rates.Opened != 0 || rates.Bytes == 0 || is.Channels < 3 || is.Subscriptions < 4 || is.Waiting == 0 || is.Slow != 1 {
			t.Errorf("%+v", is)
		}
		if len(l.Channels) < 2 || l.Channels[0] != (gateway.ChannelLoad{Channel: "busy", Rate: 5, Sessions: 2}) || l.Channels[1] != (gateway.ChannelLoad{Channel: "calm", Rate: 0.5, Sessions: 1}) {
			t.Errorf("%+v", l.Channels)
		}
		if len(l.Slow) != 1 || l.Slow[0].User != "bob" || l.Slow[0].Waiting == 0 || l.Slow[0].Node != n.Node() {
			t.Errorf("%+v", l.Slow)
		}
		time.Sleep(time.Second)
		if l := n.load(1); l.Nodes[0].Rates.Published != 0 || len(l.Channels) != 0 || l.Nodes[0].Slow != 1 {
			t.Errorf("a second later: %+v", l)
		}
		time.Sleep(2 * time.Minute)
		if l := n.load(1); l.Nodes[0].Rates != nil {
			t.Errorf("much later: %+v, want what it says when asked first", l)
		}
	})
}

// Who asks soon after another gets the same answer, but as much of it as it has asked for.
func TestLoad_IsAsMuchAsEachHasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		n.connectAs("alice", "busy", "calm")
		n.load(0)
		n.publish("calm", "hello")
		n.publish("busy", "hello")
		n.publish("busy", "hello")
		time.Sleep(time.Second)
		for _, most := range []int{1, 50, 0, 2} {
			got := n.load(most).Channels
			if len(got) != min(most, 2) || len(got) > 0 && got[0].Channel != "busy" {
				t.Errorf("asked for %d: %+v", most, got)
			}
		}
	})
}

func TestLoad_SumsUpWhatTheNodesSay(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	members[0].connectAs("alice", "a")
	members[1].connectAs("bob", "a")
	members[1].connectAs("carol", "a")
	brokertest.Eventually(t, "the channel to be told of with its sessions", func() bool {
		members[0].publish("a", "hello")
		l := members[0].load(9)
		return len(l.Nodes) == 2 && len(l.Channels) == 1 && l.Channels[0].Sessions == 3
	})
}

func TestLoad_ANodeThatDoesNotAnswerIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := broker.NewMemory()
		n := startNode(t, gateway.Config{Broker: memory, PresenceLease: time.Hour})
		haunt(t, memory, `{"hello":{"node":"ghost","lease":3600000,"about":{"node":"ghost","version":"v7","sessions":7}}}`)
		synctest.Wait()
		l := n.load(9)
		if len(l.Nodes) != 2 || l.Nodes[0].Silent == l.Nodes[1].Silent {
			t.Fatalf("%+v, want one that is silent", l.Nodes)
		}
		for _, is := range l.Nodes {
			if is.Silent && (is.Node != "ghost" || is.Version != "v7" || is.Sessions != 7) {
				t.Errorf("%+v", is)
			}
		}
	})
}
