package client

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"golang.org/x/time/rate"
)

// A gateway disconnects a client for good whose commands come too fast for 10 s, without a break of
// 2 s. So the client sends what has waited, and what it is given, no faster than it may.
func TestCalls_SlowDownWhenTheyComeTooFast(t *testing.T) {
	for _, limit := range []int{10, 100, 1000} {
		t.Run(fmt.Sprint(limit, " a second"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &calls{outlet: &outlet{ended: make(chan struct{})}, list: map[int64]*call{}}
				waiting := make([]*call, 15*limit)
				for i := range waiting {
					waiting[i] = c.begin(command{Type: "publish"})
				}
				l := newLink(nil)
				c.outlet.link = l
				c.resend(l)
				l.tasks.Go(func() { answerUpTo(t, c, l, limit, time.Time{}) })
				began := time.Now()
				for _, one := range waiting {
					select {
					case <-one.result:
						c.begin(command{Type: "publish"})
					case <-l.ctx.Done():
						t.Fatal("the gateway disconnects the client for good")
					}
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v to send what may be sent in 14 s", took)
				}
				l.cancel(nil)
				l.tasks.Wait()
			})
		})
	}
}

// Nor do retries of what the gateway can publish nowhere for now come too fast.
func TestCalls_OutlastAGatewayThatCanPublishNothing(t *testing.T) {
	for _, channels := range []int{1, 10, 1000} {
		t.Run(fmt.Sprint(channels, " channels"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &calls{outlet: &outlet{ended: make(chan struct{})}, list: map[int64]*call{}}
				waiting := make([]*call, 2000)
				for i := range waiting {
					waiting[i] = c.begin(command{Type: "publish", Channel: fmt.Sprint(i % channels)})
				}
				l := newLink(nil)
				c.outlet.link = l
				c.resend(l)
				began := time.Now()
				l.tasks.Go(func() { answerUpTo(t, c, l, 100, began.Add(time.Minute)) })
				for _, one := range waiting {
					select {
					case <-one.result:
					case <-l.ctx.Done():
						t.Fatal("the gateway disconnects the client for good")
					}
				}
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("after a minute of being away it took %v more to send what may be sent in 20 s", took-time.Minute)
				}
				l.cancel(nil)
				l.tasks.Wait()
			})
		})
	}
}

// answerUpTo answers calls as a gateway with that limit does, which can publish nothing until it
// recovers. It returns when the link ends.
func answerUpTo(t *testing.T, c *calls, l *link, limit int, recovers time.Time) {
	commands, refusals := rate.NewLimiter(rate.Limit(limit), limit), rate.NewLimiter(rate.Limit(limit), limit)
	var begun, last time.Time // of the refusals without a break
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		for _, data := range l.takeQueue() {
			var f frame
			if err := json.Unmarshal(data, &f); err != nil {
				t.Error(err)
			}
			if commands.Allow() {
				if time.Now().Before(recovers) {
					c.refuse(l, f.ID, &Error{Code: "unavailable"})
				} else {
					c.answer(&frame{Type: "published", ID: f.ID})
				}
				continue
			}
			if time.Since(last) > 2*time.Second {
				begun = time.Now()
			}
			if last = time.Now(); last.Sub(begun) > 10*time.Second {
				l.cancel(nil)
				return
			}
			if refusals.Wait(l.ctx) == nil {
				c.refuse(l, f.ID, &Error{Code: "rate_limited"})
			}
		}
	}
}

// answering answers calls after a millisecond, until the link ends.
func answering(l *link, answer func(f frame)) {
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		frames := l.takeQueue()
		time.Sleep(time.Millisecond)
		for _, data := range frames {
			var f frame
			_ = json.Unmarshal(data, &f)
			answer(f)
		}
	}
}

// confirmed returns calls of which so many have waited for a link, which confirms all until end is
// called.
func confirmed(waiting int) (c *calls, pending []*call, end func()) {
	c = &calls{outlet: &outlet{ended: make(chan struct{})}, list: map[int64]*call{}}
	for range waiting {
		pending = append(pending, c.begin(command{Type: "publish"}))
	}
	l := newLink(nil)
	c.outlet.link = l
	c.resend(l)
	l.tasks.Go(func() { answering(l, func(f frame) { c.answer(&frame{Type: "published", ID: f.ID}) }) })
	return c, pending, func() { l.cancel(nil); l.tasks.Wait() }
}

// What was sent once takes no memory until the connection ends.
func TestCalls_KeepNothingThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pending, end := confirmed(200)
		defer end()
		for _, one := range pending {
			<-one.result
		}
		first := weak.Make(pending[0])
		pending = nil
		time.Sleep(time.Second)
		runtime.GC()
		if first.Value() != nil {
			t.Error("a publish that was confirmed is kept")
		}
		runtime.KeepAlive(c)
	})
}

// A backend may publish as fast as it can, also once it has had to connect again.
func TestCalls_AreNotSlowedDownAfterAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pending, end := confirmed(200)
		defer end()
		began := time.Now()
		for range 5000 {
			<-pending[0].result
			pending = append(pending[1:], c.begin(command{Type: "publish"}))
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("5000 publishes took %v, of which 200 may be under way for a millisecond", took)
		}
	})
}

// A part of Redis that is away, or a webhook that decides on some channels, concerns others not at
// all. On its own channel, a publish is not overtaken.
func TestCalls_AChannelThatFailsForNowHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &calls{outlet: &outlet{ended: make(chan struct{})}, list: map[int64]*call{}}
		l := newLink(nil)
		defer l.tasks.Wait()
		defer l.cancel(nil)
		c.outlet.link = l
		c.resend(l)
		recovers := time.Now().Add(20 * time.Second)
		var confirmed []int64 // on the channel that is away
		l.tasks.Go(func() {
			answering(l, func(f frame) {
				if f.Channel == "away" && time.Now().Before(recovers) {
					c.refuse(l, f.ID, &Error{Code: "unavailable"})
					return
				}
				if f.Channel == "away" {
					confirmed = append(confirmed, f.ID)
				}
				c.answer(&frame{Type: "published", ID: f.ID})
			})
		})
		var late []*call
		var slowest time.Duration
		for range 100 {
			late = append(late, c.begin(command{Type: "publish", Channel: "away"}))
			began := time.Now()
			<-c.begin(command{Type: "publish", Channel: "here"}).result
			slowest = max(slowest, time.Since(began))
		}
		if slowest > 50*time.Millisecond {
			t.Errorf("a publish on another channel took %v", slowest)
		}
		for _, one := range late {
			<-one.result
		}
		if took := time.Since(recovers); took > 2*time.Second || !slices.IsSorted(confirmed) || len(confirmed) != len(late) {
			t.Errorf("%v after the channel is back, these are confirmed: %d", took, confirmed)
		}
	})
}
