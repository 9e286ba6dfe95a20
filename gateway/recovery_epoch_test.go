package gateway_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// restarted is a history that has begun a new epoch and kept its messages, like Redis when it
// returns with its data.
type restarted struct {
	*lossy
	former, epoch string
	top           uint64 // of the former epoch

	meanwhile atomic.Pointer[func()] // called while the next read is in progress
}

func (r *restarted) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (broker.Page, error) {
	if meanwhile := r.meanwhile.Swap(nil); meanwhile != nil {
		(*meanwhile)()
	}
	if r.away.Load() {
		return r.lossy.Since(ctx, channel, after, most)
	}
	lost := r.epoch != "" && after.Epoch != r.epoch
	if lost && after.Epoch == r.former {
		after.Offset = min(after.Offset, r.top)
	} else if lost {
		after.Offset = 0
	}
	after.Epoch = r.former
	page, err := r.lossy.Since(ctx, channel, after, most)
	if r.epoch != "" {
		page.Lost = page.Lost || lost
		page.Former = broker.Position{Epoch: r.former, Offset: r.top}
		page.Top.Epoch = r.epoch
		for i := range page.Messages {
			page.Messages[i].Position.Epoch = r.epoch
		}
	}
	return page, err
}

func (r *restarted) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	tops, err := r.lossy.Tops(ctx, channels)
	if r.epoch != "" {
		for i := range tops {
			tops[i].Epoch, tops[i].Former = r.epoch, broker.Position{Epoch: r.former, Offset: r.top}
		}
	}
	return tops, err
}

func TestRecovery_WhoComesToANodeAfterTheRestartIsNotGivenAgainWhatHeHas(t *testing.T) {
	l := newLossy()
	r := &restarted{lossy: l}
	rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
	n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
	var third broker.Position
	for i := 1; i <= 5; i++ {
		if at := n.publish("kept:a", "%d", i); i == 3 {
			third = at
		}
	}
	r.former, r.top, r.epoch = third.Epoch, 4, "another"
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", third)
	p.expect("subscribed kept:a recovered=false")
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"4", "5"}) {
		t.Errorf("who resumes after 3 heard %v", got)
	}
}

func TestRecovery_NobodyIsGivenAgainWhatHeHasFromTheFormerEpoch(t *testing.T) {
	l := newLossy()
	r := &restarted{lossy: l}
	rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
	n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
	counted := nothing(t, l, "kept:a")
	counted.Offset = 2
	p := n.listen("kept:a")
	var second broker.Position
	for i := 1; i <= 4; i++ {
		if at := n.publish("kept:a", "%d", i); i == 2 {
			second = at
		}
	}
	p.expect("message kept:a 4")
	l.losing.Store(true)
	n.publish("kept:a", "5")
	r.former, r.top, r.epoch = second.Epoch, 4, "another"
	l.Gap([]string{"kept:a"}, errCut)
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) || count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("heard %v", p.lines())
	}
	for _, cursor := range []broker.Position{second, counted} { // the latter does not know the name of the epoch
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a %s", cursor)
		late.expect("subscribed kept:a recovered=false")
		late.expect("message kept:a 5")
		if got := late.heardOf("kept:a"); !slices.Equal(got, []string{"3", "4", "5"}) {
			t.Errorf("who resumes after %v heard %v", cursor, got)
		}
	}
}

func TestRecovery_HistoryThatIsLostWhileItIsSentIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules, Limits: gateway.Limits{OutboxBytes: 4 << 10}})
		from := n.publish("kept:a", "first")
		n.publishMany("kept:a", 50)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent as much as there is room for

		l.losing.Store(true)
		must(t, l.Clear(t.Context(), "kept:a"))
		n.publish("kept:a", "after")
		r.former, r.top, r.epoch = from.Epoch, 0, "another"
		l.Gap([]string{"kept:a"}, errCut)
		synctest.Wait()
		read()
		p.expect("message kept:a after")
		if got := p.heardOf("kept:a"); len(got) >= 50 {
			t.Fatalf("heard %d messages: nothing was lost", len(got))
		}
		if lines := p.lines(); count(lines, "subscribed kept:a recovered=true") != 1 || count(lines, "gap kept:a") != 1 {
			t.Errorf("the loss was not told once: %.50q", lines)
		}
	})
}

func TestRecovery_HistoryThatIsTrimmedBeforeItsFirstMessageIsSentIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5, gateway.Limits{OutboxBytes: 4 << 10})
		n.listen("kept:a")
		first := n.publish("kept:a", "%s", strings.Repeat("1", 1<<10))
		beginning := broker.Position{Epoch: first.Epoch}

		p := n.listen("plain")
		read := p.stall()
		n.publish("plain", "%s", strings.Repeat("x", 3500))
		p.send("sub kept:a %s", beginning)
		synctest.Wait() // there is room for the answer, but not for a message
		for i := range 30 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 64<<10)) // more than a tail holds
			synctest.Wait()
		}
		read()
		p.expect("message kept:a 29-")
		if lines := p.lines(); count(lines, "gap kept:a") != 1 {
			t.Errorf("the loss was told %d times", count(lines, "gap kept:a"))
		}
	})
}

func TestRecovery_WhatIsReadWhileTheEpochChangesIsNotTakenForAllThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
		var positions []broker.Position
		for i := 1; i <= 5; i++ {
			positions = append(positions, n.publish("kept:a", "%d", i))
		}
		meanwhile := func() {
			r.former, r.top, r.epoch = positions[0].Epoch, 5, "another"
			l.Gap([]string{"kept:a"}, errCut)
			synctest.Wait() // the node is in the new epoch when the read is answered
		}
		r.meanwhile.Store(&meanwhile)
		early := n.connect(gateway.Hello{})
		early.send("sub kept:a %s", positions[2])
		early.expect("message kept:a 5")
		if got := early.heardOf("kept:a"); !slices.Equal(got, []string{"4", "5"}) {
			t.Errorf("who resumes after 3 heard %v", got)
		}
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a another:1")
		late.expect("message kept:a 5")
		if got := late.heardOf("kept:a"); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
			t.Errorf("who resumes after 1 heard %v", got)
		}
	})
}

func TestRecovery_WhatWasSeenOfALostEpochIsNotLookedForInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := rules.List{{Match: "kept:*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
		p := n.listen("kept:a")
		first := n.publish("kept:a", "1")
		p.expect("message kept:a 1")

		l.away.Store(true)
		l.losing.Store(true)
		n.publish("kept:a", "lost")
		l.losing.Store(false)
		n.publish("kept:a", "seen") // and then its history cannot be read any more
		synctest.Wait()
		l.losing.Store(true)
		must(t, l.Clear(t.Context(), "kept:a"))
		n.publish("kept:a", "2")
		r.former, r.top, r.epoch = first.Epoch, 0, "another"
		l.away.Store(false)
		p.expect("message kept:a 2")
		time.Sleep(time.Minute)
		n.publish("kept:a", "3")
		l.Gap([]string{"kept:a"}, errCut)
		p.expect("message kept:a 3")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3"}) || count(p.lines(), "gap kept:a") != 1 {
			t.Errorf("heard %v", p.lines())
		}
	})
}
