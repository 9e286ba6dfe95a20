package gateway_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/metrics"
)

func TestPromise_GapIsToldWhereHistoryIsNotKeptAnyMore(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.listen("kept:a")
	n.publish("kept:a", "1")
	p.expect("message kept:a 1")
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}))
	l.losing.Store(true)
	n.publish("kept:a", "lost, and in no history")
	l.losing.Store(false)
	l.Gap([]string{"kept:a"}, errCut)
	p.expect("gap kept:a")
}

func TestPromise_APositionIsNotBelievedWhereNoHistoryIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.listen("plain")
		for _, offset := range []uint64{5, 9, 9, 1} {
			l.receiver.Receive(broker.Message{
				Channel: "plain", Payload: fmt.Append(nil, offset), Kind: broker.Text,
				Position: broker.Position{Epoch: "forged", Offset: offset},
			})
		}
		l.receiver.Rest()
		p.expect("message plain 1")
		synctest.Wait()
		if got := p.lines()[2:]; !slices.Equal(got, []string{"message plain 5 ", "message plain 9 ", "message plain 9 ", "message plain 1 "}) {
			t.Errorf("heard %q", got)
		}
	})
}

func TestPromise_WhatFollowsGoesOnWhileARepairLooksInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.listen("kept:a")
		l.receiver.Receive(broker.Message{Channel: "kept:a", Position: broker.Position{Epoch: "unknown", Offset: 7}})
		time.Sleep(5 * time.Second) // its reads are seconds apart by now
		began := time.Now()
		n.publish("kept:a", "1")
		p.expect("message kept:a 1")
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		time.Sleep(time.Minute)
		if got := count(p.lines(), "gap kept:a"); got != 1 {
			t.Errorf("what was seen and is nowhere was told %d times", got)
		}
	})
}

func TestPromise_ARepairDoesNotWaitOnceTheLinkIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.listen("kept:a")
		l.away.Store(true)
		l.losing.Store(true)
		n.publish("kept:a", "1")
		l.losing.Store(false)
		l.Gap([]string{"kept:a"}, errCut)
		time.Sleep(time.Minute) // its reads are seconds apart by now
		l.away.Store(false)
		began := time.Now()
		l.Gap([]string{"kept:a"}, errCut)
		p.expect("message kept:a 1")
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestPromise_AHistoryThatForgetsWithoutANewEpochIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, config := newForgetful(100)
		n := startNode(t, config)
		p := n.listen("kept:a")
		for i := range 5 {
			n.publish(fleeting, "%d", i)
		}
		p.expect("message kept:a 4")
		m.rewind(t, 2)
		time.Sleep(time.Minute)
		if got := count(p.lines(), "gap kept:a"); got != 1 {
			t.Errorf("told of %d gaps", got)
		}
		n.publish(fleeting, "after")
		p.expect("message kept:a after")
	})
}

// rewind loses everything but the epoch, and continues after an offset that was used before.
// No History may do that.
func (m *forgetful) rewind(t *testing.T, to uint64) {
	top := m.innerTop(t)
	m.clear(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.base = top.Offset - to
}

func TestPromise_ALongRepairIsAsFastAsItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
		p, stalled := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
		for _, p := range []*peer{p, stalled} {
			p.subscribe("kept:a")
		}
		stalled.stall()
		l.losing.Store(true)
		const messages = 3000
		n.publishMany("kept:a", messages)
		l.losing.Store(false)
		began := time.Now()
		l.Gap([]string{"kept:a"}, errCut)
		p.expect(fmt.Sprintf("message kept:a %d-", messages-1))
		if got := len(p.heardOf("kept:a")); got != messages || p.isClosed() {
			t.Errorf("heard %d messages, closed %v", got, p.isClosed())
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("one that does not read held the others up for %v", took)
		}
		if reason := stalled.expectClosed(); reason.Code != 4008 {
			t.Errorf("who does not read was closed with %+v", reason)
		}
	})
}

func TestPromise_OnlyWhoHadMissedSomethingIsCounted(t *testing.T) {
	l := newLossy()
	m := metrics.New("")
	kept := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 2}}
	n := startNode(t, gateway.Config{Broker: l, History: l, Rules: kept, Metrics: m})
	first := n.publish("kept:a", "1")
	n.publish("kept:a", "2")
	last := n.publish("kept:a", "3")
	for _, c := range []struct {
		cursor          broker.Position
		recovered, lost float64
	}{
		{last, 0, 0},
		{first, 1, 0},
		{broker.Position{Epoch: first.Epoch}, 1, 1},
	} {
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", c.cursor)
		p.expect("subscribed")
		if recovered, lost := recoveries(t, m); recovered != c.recovered || lost != c.lost {
			t.Errorf("after cursor %v: %v recovered, %v lost, want %v and %v", c.cursor, recovered, lost, c.recovered, c.lost)
		}
	}
}

func recoveries(t *testing.T, m *metrics.Metrics) (recovered, lost float64) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	must(t, err)
	for _, family := range families {
		if family.GetName() != "tidegate_recoveries_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == "recovered" {
				recovered = metric.GetCounter().GetValue()
			} else {
				lost = metric.GetCounter().GetValue()
			}
		}
	}
	return recovered, lost
}
