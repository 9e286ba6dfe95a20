package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/client"
)

func threeNodes(t *testing.T) *trial {
	server := brokertest.StartRedis(t)
	return newTrial(t, []*brokertest.RedisServer{server}, server.URL(), server.URL(), server.URL())
}

// loadBalanced makes all clients connect through HAProxy.
func loadBalanced(tr *trial) {
	tr.t.Helper()
	balancer := "http://" + startBalancer(tr.t, tr.nodes)
	by := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tr.addStreams()
	for range tr.nodes {
		for _, s := range tr.streams {
			tr.listen(s, balancer, by)
		}
	}
	tr.publish(func(int) *client.Client { return newNativeClient(balancer, by) })
}

// rollOut shuts down one node after the other and replaces each, as an update does.
func rollOut(tr *trial) {
	for i := range tr.nodes {
		tr.replace(i)
		tr.flows(10)
	}
}

// replace shuts down a node and starts another at its address.
func (tr *trial) replace(i int) {
	tr.t.Helper()
	old := tr.nodes[i]
	old.signal(syscall.SIGTERM)
	if code := old.wait(); code != 0 {
		tr.t.Errorf("node %d ended with code %d:\n%s", i, code, old.said())
	}
	tr.nodes[i] = tr.newNode(tr.redis[0].URL(), "--listen", strings.TrimPrefix(old.public(""), "http://"))
	eventually(tr.t, tr.nodes[i].public("/readyz"), http.StatusOK)
}

// crowd is the number of sessions that lose their node at the same time, and missed the
// number of messages that each must then get. crowdEvery gives the machine time to deliver
// each message to all of them.
const (
	crowd, missed = 5000, 50
	crowdEvery    = 500 * time.Millisecond
)

// loadCrowd subscribes the crowd to one channel on the first node.
func loadCrowd(tr *trial) {
	tr.t.Helper()
	tr.streams = []*stream{newStream("kept:crowd", true, crowdEvery)}
	by := tr.reaching(0)
	for range crowd {
		tr.witness(newWitness("light", tr.streams[0], "http://gateway", by))
	}
	tr.publish(func(int) *client.Client { return newNativeClient("http://gateway", by) })
}

// killCrowded kills the crowd's node after making it miss what is published. The other node
// has no subscriber of the channel and does not know its position.
func killCrowded(tr *trial) {
	s := tr.streams[0]
	s.turn.Lock()
	tr.allHave(s)
	tr.forgetCalls()
	tr.nodes[0].signal(syscall.SIGSTOP)
	for range missed {
		tr.appendBy("PUBLISH", s)
	}
	s.turn.Unlock()
	killNode(tr)
	tr.allHave(s)
}
