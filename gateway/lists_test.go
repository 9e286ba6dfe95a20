package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

// crowded returns a node with a list of members of room:a and one of room:b, either of which is
// larger than an outbox may be.
func crowded(t *testing.T) *presenceNode {
	memory := broker.NewMemory()
	n := &presenceNode{node: startNode(t, gateway.Config{Broker: memory, Presence: memory, Rules: presenceRules, PresenceLinger: lasting,
		Limits: gateway.Limits{OutboxBytes: 2 << 10}})}
	for i := range 30 {
		n.as(fmt.Sprint(strings.Repeat("x", 100), i), "room:a", "room:b")
		time.Sleep(time.Second) // the others have been told, and have read it
	}
	return n
}

// aMember is a part of each list of members.
var aMember = strings.Repeat("x", 100) + "29"

func TestSession_ASecondLongListWaitsUntilTheFirstIsRead(t *testing.T) {
	for _, ask := range []string{"submembers", "presence"} {
		t.Run(ask, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := crowded(t).connect(gateway.Hello{})
				read := p.stall()
				p.send("ping") // the peer takes no more than the answer
				synctest.Wait()
				p.send("%s room:a", ask)
				p.send("%s room:b", ask)
				time.Sleep(time.Second)
				read()
				p.until("two lists", func() bool { return strings.Count(strings.Join(p.lines(), ""), aMember) == 2 })
			})
		})
	}
}

func TestSession_WhoDoesNotReadALongListGetsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := crowded(t).connect(gateway.Hello{})
		read := p.stall()
		p.send("presence room:a")
		p.send("presence room:b")
		time.Sleep(3 * time.Second)
		read()
		p.expect("error rate_limited")
	})
}
