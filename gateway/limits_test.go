package gateway_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
)

func TestLimits_SessionsOfAnAddress(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, next string // addresses of two sessions
		same        bool
	}{
		{"one address", "192.0.2.7:5000", "192.0.2.7:5001", true},
		{"without a port", "192.0.2.7:5000", "192.0.2.7", true},
		{"two addresses", "192.0.2.7:5000", "192.0.2.8:5000", false},
		{"IPv4 in IPv6", "192.0.2.7:5000", "[::ffff:192.0.2.7]:5000", true},
		{"one IPv6 network of 64 bits", "[2001:db8:0:1::1]:5000", "[2001:db8:0:1:ffff::2]:5000", true},
		{"two IPv6 networks", "[2001:db8:0:1::1]:5000", "[2001:db8:0:2::1]:5000", false},
		{"one zone", "[fe80::1%eth0]:5000", "[fe80::2%eth1]:5000", true},
		{"no address", "", "", false},
		{"no IP address", "@", "@", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startNode(t, gateway.Config{Limits: gateway.Limits{SessionsPerIP: 1}})
			first := n.connect(gateway.Hello{Remote: c.first})
			_, err := n.tryConnect(gateway.Hello{Remote: c.next})
			if !c.same {
				if err != nil {
					t.Errorf("the other one was refused: %v", err)
				}
				return
			}
			wantCode(t, err, gateway.LimitExceeded)
			first.Close(gateway.Left, nil)
			for deadline := time.Now().Add(patience); err != nil; <-time.After(time.Millisecond) {
				if _, err = n.tryConnect(gateway.Hello{Remote: c.next}); time.Now().After(deadline) {
					t.Fatalf("refused after the first had left: %v", err)
				}
			}
		})
	}
}

// Clients do not report which limit has refused them, so the node logs it, though not for each
// of them.
func TestLimits_TheLogSaysWhichRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		n := startNode(t, gateway.Config{Limits: gateway.Limits{SessionsPerIP: 1}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		refused := func() {
			_, err := n.tryConnect(gateway.Hello{Remote: "192.0.2.7:5001"})
			wantCode(t, err, gateway.LimitExceeded)
		}
		n.connect(gateway.Hello{Remote: "192.0.2.7:5000"})
		refused()
		refused()
		if !log.have("level=WARN", "limits.sessions_per_ip", "remote=192.0.2.7:5001") || log.count("level=WARN") != 1 {
			t.Errorf("the log says\n%s", &log.text)
		}
		time.Sleep(time.Minute)
		refused()
		if log.count("level=WARN") != 2 {
			t.Errorf("after a minute the log says\n%s", &log.text)
		}
	})
}

// A node admits as many sessions a second as configured, also in the long run.
func TestLimits_ConnectsPerSecondAreAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, seconds = 20, 10
		n := startNode(t, gateway.Config{Limits: gateway.Limits{ConnectsPerSecond: most}})
		admitted := 0
		for range seconds * 100 { // 100 try each second
			_, err := n.tryConnect(gateway.Hello{})
			if err == nil {
				admitted++
			} else {
				wantCode(t, err, gateway.RateLimited)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if want := most * (seconds + 1); admitted < want-most/2 || admitted > want { // plus the burst of one second
			t.Errorf("%d were admitted in %d seconds, want %d", admitted, seconds, want)
		}
	})
}

// If too much is waiting in total, the sessions with the most waiting are closed, and no more
// of them than necessary.
func TestLimits_OutboxesAreBoundedInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{OutboxTotalBytes: 40_000}})
		var peers []*peer
		for i := range 4 {
			p := n.connect(gateway.Hello{})
			p.send("sub c%d", i)
			p.expect("subscribed")
			p.stall()
			peers = append(peers, p)
		}
		quick := n.listen("c3")
		publish := func(channel int, kilobytes int) {
			for range kilobytes {
				n.publish(fmt.Sprint("c", channel), "%s", strings.Repeat("x", 1000))
			}
			synctest.Wait()
		}
		publish(0, 5)
		publish(1, 10)
		publish(2, 15)
		time.Sleep(5 * time.Second)
		for i, p := range peers {
			if p.isClosed() {
				t.Fatalf("session %d was closed, with 30 KB of 40 waiting", i)
			}
		}
		publish(3, 20)
		time.Sleep(2 * time.Second)
		if reason := peers[3].expectClosed(); reason.Code != gateway.SlowConsumer.Code {
			t.Errorf("closed with %+v, want 4008", reason)
		}
		for i, p := range append(peers[:3:3], quick) {
			if p.isClosed() {
				t.Errorf("session %d was closed, though the largest was enough", i)
			}
		}
	})
}

func (p *peer) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

func TestLimits_SubscriptionsOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{Subscriptions: 2}})
		first, second := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
		first.subscribe("a")
		second.subscribe("a")
		second.send("sub b")
		second.expect("error limit_exceeded")
		first.send("unsub a")
		first.expect("unsubscribed a")
		second.subscribe("b")
	})
}

func TestLimits_PublishesOnTheirWayShareTheNodesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &silent{Memory: broker.NewMemory(), due: make(chan func(error), 1000)}
		n := startNode(t, gateway.Config{Broker: s, Limits: gateway.Limits{InboundBytes: 10}})
		first, second := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
		first.send("pub a 1234567")
		synctest.Wait()
		second.send("pub a 1234")
		second.expect("error unavailable")
		(<-s.due)(nil)
		first.expect("published a")
		second.send("pub a 1234")
		synctest.Wait()
		(<-s.due)(nil)
		second.expect("published a")
	})
}

// Subscribes wait while the backend decides about one before them.
func TestLimits_SubscribesThatWaitShareTheNodesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := newOffice(func(q *gateway.Question) error {
			if q.Channel == "slow" {
				<-release
			}
			return nil
		})
		const room = 7000
		n := startNode(t, gateway.Config{Hooks: o, Limits: gateway.Limits{InboundBytes: room * 8 / 7}})
		p := n.connect(gateway.Hello{})
		p.send("sub slow")
		for range 3 { // there is no room for the last: it waits where it is read
			p.send("sub %s", strings.Repeat("x", 3000))
		}
		synctest.Wait()
		payer := n.Budget.Payer(&gateway.Principal{}, "192.0.2.1:1")
		if n.Budget.Hold(payer, room-6000) == nil {
			t.Error("the node has room left though two long subscribes wait")
		}
		close(release)
		p.expect("subscribed slow")
		p.until("all to be answered", func() bool { return count(p.lines(), "error bad_request") == 3 })
		synctest.Wait()
		must(t, n.Budget.Hold(payer, room))
		n.Budget.LetGo(payer, room)
	})
}

func TestLimits_SubscribesOfOneSessionThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := newOffice(func(*gateway.Question) error { <-release; return nil })
		o.deaf = map[gateway.HookEvent]bool{gateway.OnConnect: true}
		const room = 7 << 20
		n := startNode(t, gateway.Config{Hooks: o, Limits: gateway.Limits{InboundBytes: room * 8 / 7}})
		p := n.connect(gateway.Hello{})
		p.send("sub slow")
		go func() {
			for range 10 {
				p.send("sub %s", strings.Repeat("x", 100_000))
			}
		}()
		synctest.Wait()
		payer := n.Budget.Payer(&gateway.Principal{}, "192.0.2.1:1")
		const left = room - 400_000
		if err := n.Budget.Hold(payer, left); err != nil {
			t.Errorf("one session holds more than 400 KB: %v", err)
		} else {
			n.Budget.LetGo(payer, left)
		}
		close(release)
		p.until("all to be answered", func() bool { return count(p.lines(), "error bad_request") == 10 })
	})
}

// One address cannot use all the room for clients, and clients cannot use all of the node's.
func TestLimits_WhatIsHeldForAnAddressIsBounded(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{InboundBytes: 80, InboundBytesPerIP: 20}})
	take := func(who *gateway.Principal, remote string) (int, func(), error) {
		payer, taken := n.Budget.Payer(who, remote), 0
		for taken < 1000 {
			if err := n.Budget.Hold(payer, 1); err != nil {
				return taken, func() { n.Budget.LetGo(payer, taken) }, err
			}
			taken++
		}
		t.Fatal("there is no bound")
		return 0, nil, nil
	}
	var gives []func()
	for i, want := range []int{20, 20, 20, 10, 0} { // of 80, 10 are reserved for backends
		taken, give, err := take(&gateway.Principal{}, fmt.Sprintf("192.0.2.%d:1", i))
		if taken != want {
			t.Errorf("the address %d has %d bytes, want %d", i, taken, want)
		}
		code := gateway.RateLimited
		if want < 20 {
			code = gateway.Unavailable
		}
		wantCode(t, err, code)
		gives = append(gives, give)
	}
	if taken, _, _ := take(&gateway.Principal{User: "alice"}, "192.0.2.0:2"); taken != 0 {
		t.Errorf("a user at the first address has %d bytes more", taken)
	}
	taken, give, err := take(&backend, "192.0.2.0:3")
	if taken != 10 {
		t.Errorf("backends have %d bytes, want the last 10", taken)
	}
	wantCode(t, err, gateway.Unavailable)
	give()
	for _, give := range gives {
		give()
	}
	if taken, _, _ := take(&gateway.Principal{}, "192.0.2.0:1"); taken != 20 {
		t.Errorf("when all is given back, an address has %d bytes, want 20", taken)
	}
}
