package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
)

func TestRecovery_GapIsToldToWhoResumesWhileMessagesComeThatAreInNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		n.publishMany("kept:a", 50)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent as much as there is room for
		l.publishBare(t, "kept:a", "bare")
		read()
		p.expect("message kept:a 49-")
		n.publish("kept:a", "live")
		p.expect("message kept:a live")
		if got := p.heardOf("kept:a"); len(got) != 51 || count(p.lines(), "gap kept:a") != 1 {
			t.Errorf("heard %d messages, and of %d gaps", len(got), count(p.lines(), "gap kept:a"))
		}
	})
}

func TestRecovery_SessionsThatResumeTooLateAndCannotBeToldEndSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 3, gateway.Limits{})
		first := n.publish("kept:a", "1")
		for i := 2; i <= 6; i++ {
			n.publish("kept:a", "%d", i)
		}
		const sessions = 20
		peers := make([]*peer, sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{Protocol: words{"curt"}})
			peers[i].send("sub kept:a %s", first)
		}
		synctest.Wait()
		n.publish("kept:a", "7")
		synctest.Wait()
		atOnce := 0
		for _, p := range peers {
			if p.isClosed() {
				atOnce++
			}
		}
		if atOnce > sessions/2 {
			t.Errorf("%d of %d sessions were closed at once", atOnce, sessions)
		}
		for _, p := range peers {
			if reason := p.expectClosed(); reason.Code != 4010 {
				t.Errorf("closed with %+v", reason)
			}
			if got := p.heardOf("kept:a"); len(got) > 0 {
				t.Errorf("heard %v after a gap that was not told", got)
			}
		}
	})
}

func TestRecovery_CursorBringsWhatWasMissed(t *testing.T) {
	n, _ := startLossy(t, 5, gateway.Limits{})
	first := n.publish("kept:a", "1")
	for i := 2; i <= 4; i++ {
		n.publish("kept:a", "%d", i)
	}
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", first)
	p.expect("subscribed kept:a recovered=true")
	n.publish("kept:a", "5")
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
		t.Errorf("heard %v", got)
	}
	for i := 6; i <= 10; i++ {
		n.publish("kept:a", "%d", i)
	}
	for _, cursor := range []string{"otherepoch:3", first.Epoch + ":99"} {
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a %s", cursor)
		late.expect("subscribed kept:a recovered=false")
		late.expect("message kept:a 10")
	}
	plain := n.connect(gateway.Hello{})
	plain.send("sub plain %s", first)
	plain.expect("subscribed plain recovered=false")
	plain.send("sub other no-cursor")
	plain.expect("error bad_request")
}

func TestRecovery_CursorTooOldIsToldAndBringsWhatThereIs(t *testing.T) {
	n, _ := startLossy(t, 3, gateway.Limits{})
	first := n.publish("kept:a", "1")
	for i := 2; i <= 9; i++ {
		n.publish("kept:a", "%d", i)
	}
	for range 2 { // the second finds in the tail what the first one read
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", first)
		p.expect("subscribed kept:a recovered=false")
		p.expect("message kept:a 9")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"7", "8", "9"}) {
			t.Errorf("heard %v", got)
		}
		if count(p.lines(), "gap kept:a") != 0 {
			t.Error("a gap was told beside recovered=false")
		}
	}
}

func TestRecovery_ThousandsWhoResumeShareOneRead(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	from := n.publish("kept:a", "0")
	for i := 1; i <= 50; i++ {
		n.publish("kept:a", "%d", i)
	}
	n.listen("kept:a")
	before := l.reads.Load()
	var peers []*peer
	for range 2000 {
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", from)
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.expect("message kept:a 50")
		if got := p.heardOf("kept:a"); len(got) != 50 {
			t.Fatalf("heard %d messages, want 50", len(got))
		}
	}
	if reads := l.reads.Load() - before; reads != 1 {
		t.Errorf("2,000 sessions cost %d range reads, want 1", reads)
	}
}

func TestRecovery_HistoryTooLargeForTheTailIsReadOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
		from := n.publish("kept:a", "first")
		const messages = 3000
		n.publishMany("kept:a", messages)
		before := l.reads.Load()
		var peers []*peer
		for range 100 {
			p := n.connect(gateway.Hello{})
			p.send("sub kept:a %s", from)
			peers = append(peers, p)
		}
		for _, p := range peers {
			p.expect(fmt.Sprintf("message kept:a %d-", messages-1))
			if got := len(p.heardOf("kept:a")); got != messages {
				t.Fatalf("heard %d messages, want %d", got, messages)
			}
		}
		if reads := l.reads.Load() - before; reads > messages/256+1 {
			t.Errorf("%d sessions cost %d range reads of 256 messages, for %d messages", len(peers), reads, messages)
		}
	})
}

func TestRecovery_WhoComesBackShortlyCostsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		from := n.publish("kept:a", "0")
		anchor := n.connect(gateway.Hello{})
		anchor.send("sub kept:a %s", from)
		anchor.expect("subscribed")
		before := l.reads.Load()
		for i := 1; i <= 5; i++ {
			anchor.Close(gateway.Lost, nil)
			synctest.Wait()
			cursor := n.publish("kept:a", "%d", i)
			n.publish("kept:a", "%d again", i)
			anchor = n.connect(gateway.Hello{})
			anchor.send("sub kept:a %s", cursor)
			anchor.expect(fmt.Sprintf("message kept:a %d", i))
		}
		if reads := l.reads.Load() - before; reads != 0 {
			t.Errorf("coming back five times cost %d range reads", reads)
		}
		anchor.Close(gateway.Lost, nil)
		time.Sleep(3 * time.Second)
		if !l.left.Load() {
			t.Error("the channel was never unsubscribed at the broker")
		}
	})
}

func TestRecovery_HistoryLargerThanTheOutboxArrivesWhole(t *testing.T) {
	n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
	from := n.publish("kept:a", "first")
	n.publishMany("kept:a", 3000)
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", from)
	p.expect("message kept:a 2999-")
	for i, text := range p.heardOf("kept:a") {
		if !strings.HasPrefix(text, fmt.Sprintf("%d-", i)) {
			t.Fatalf("message %d is %.10s", i, text)
		}
	}
}

func TestRecovery_OpeningCommandBringsMoreThanTheOutboxHolds(t *testing.T) {
	for _, size := range []int{500, 3000} { // what fits into the tail, and what does not
		testOpening(t, size)
	}
}

func testOpening(t *testing.T, size int) {
	t.Helper()
	n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
	from := n.publish("kept:a", "first")
	n.publishMany("kept:a", size)
	p := n.connect(gateway.Hello{Commands: []gateway.Command{gateway.Subscribe{Channel: "kept:a", Cursor: from.String()}}})
	p.expect("message kept:a " + fmt.Sprint(size-1) + "-")
	n.publish("kept:a", "%d-", size)
	p.expect("message kept:a " + fmt.Sprint(size) + "-")
	for i, text := range p.heardOf("kept:a") {
		if !strings.HasPrefix(text, fmt.Sprintf("%d-", i)) {
			t.Fatalf("message %d is %.10s", i, text)
		}
	}
}

func TestRecovery_ManyWaitTogetherForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		n.publishMany("kept:a", 1500)
		const sessions = 50
		peers, reads := make([]*peer, sessions), make([]func(), sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{})
			reads[i] = peers[i].stall()
			peers[i].send("sub kept:a %s", from)
		}
		synctest.Wait()
		l.away.Store(true)
		before := l.reads.Load()
		for _, read := range reads {
			read()
		}
		time.Sleep(20 * time.Second)
		if got := l.reads.Load() - before; got > 20*4 {
			t.Errorf("%d sessions tried to read %d times within 20 s", sessions, got)
		}
		l.away.Store(false)
		for _, p := range peers {
			p.expect("message kept:a 1499-")
		}
	})
}

func TestRecovery_WhoIsUpToDateHasRoomForWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 7 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500)) // almost as much as an outbox holds
		}
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait()
		n.publish("kept:a", "7-%s", strings.Repeat("x", 500))
		synctest.Wait()
		read()
		p.expect("message kept:a 7-")
		if got := len(p.heardOf("kept:a")); got != 8 {
			t.Errorf("heard %d messages", got)
		}
	})
}

func TestRecovery_WhoIsBeingBroughtUpToDateWaitsForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		n.publishMany("kept:a", 3000)
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent as much as there is room for
		l.away.Store(true)
		read()
		time.Sleep(time.Minute)
		l.away.Store(false)
		p.expect("message kept:a 2999-")
		if got := len(p.heardOf("kept:a")); got != 3000 || count(p.lines(), "error unavailable") != 0 {
			t.Errorf("heard %d messages, and of %d errors", got, count(p.lines(), "error unavailable"))
		}
	})
}

func TestRecovery_WhatTheSessionItselfPublishesWhileItResumesIsNotEchoed(t *testing.T) {
	n, _ := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("subquiet kept:a")
	p.expect("subscribed")
	from := n.publish("kept:a", "another's")
	p.send("pub kept:a own")
	p.expect("published")
	p.send("sub kept:a %s", from) // again, on top of its existing subscription
	p.expect("subscribed kept:a recovered=true")
	n.publish("kept:a", "end")
	p.expect("message kept:a end")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"another's", "end"}) {
		t.Errorf("heard %v", got)
	}
}

func TestRecovery_CursorsThatNobodyKnowsCostOneLookASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		last := n.publish("kept:a", "last")
		n.listen("kept:a")
		before := l.reads.Load()
		began := time.Now()
		const sessions = 100
		for i := range sessions {
			p := n.connect(gateway.Hello{})
			p.send("sub kept:a %s:%d", last.Epoch, 1000+i)
			p.expect("subscribed kept:a recovered=false")
			p.send("sub kept:a another:%d", i)
			p.until("an answer", func() bool { return count(p.lines(), "subscribed kept:a recovered=false") == 2 })
		}
		seconds := int64(time.Since(began)/time.Second) + 1
		history := seconds/30 + 1 // reads of it, because the tail expires
		if reads := l.reads.Load() - before; reads > seconds+history {
			t.Errorf("%d cursors cost %d reads within %d s", 2*sessions, reads, seconds)
		}
		peers := make([]*peer, sessions)
		before, began = l.reads.Load(), time.Now()
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{})
			peers[i].send("sub kept:a %s:%d", last.Epoch, 1000+i)
		}
		for _, p := range peers {
			p.expect("subscribed kept:a recovered=false")
		}
		if reads, took := l.reads.Load()-before, time.Since(began); reads > 2 || took > 2*time.Second {
			t.Errorf("%d cursors at once cost %d reads and took %v", sessions, reads, took)
		}
	})
}

func TestRecovery_CursorOfAnotherNodeThatIsAheadIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		anchor := n.listen("kept:a")
		for i := range 3 { // each right after a look that did not see it
			l.losing.Store(true)
			ahead := n.publish("kept:a", "%d", i)
			l.losing.Store(false)
			p := n.connect(gateway.Hello{})
			p.send("sub kept:a %s", ahead)
			p.expect("subscribed kept:a recovered=true")
		}
		synctest.Wait()
		if got := anchor.heardOf("kept:a"); !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("heard %v", got)
		}
	})
}
