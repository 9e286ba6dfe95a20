package attendance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

func lineOf(name string, b *backend) attendance.Line {
	of := func(channel string) bool { return strings.HasPrefix(channel, name) }
	return attendance.Line{Wants: broker.Wants{Line: name, Of: of, Channels: true, Counts: true}, Deliver: b.deliver}
}

func TestLines_EachHasABackendOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, everybody, shop, bank := startHouse(t), &backend{}, &backend{}, &backend{}
		bank.fail(errors.New("away"))
		lines := append(all(everybody.deliver), lineOf("shop", shop), lineOf("bank", bank))
		a, b := h.run("a", attendance.Config{Lines: lines}), h.run("b", attendance.Config{Lines: lines})
		a.Came("shop:1", attendance.Who{})
		b.Came("shop:1", attendance.Who{})
		b.Came("bank:1", attendance.Who{})
		time.Sleep(20 * time.Second)
		if got, want := shop.told(0), []string{"occupied shop:1", "counted shop:1", "counted shop:1"}; !slices.Equal(got, want) {
			t.Errorf("the shop was told %q, want %q", got, want)
		}
		got := everybody.told(0)
		slices.Sort(got)
		if want := []string{"occupied bank:1", "occupied shop:1"}; !slices.Equal(got, want) {
			t.Errorf("who hears of all was told %q, want %q", got, want)
		}
		bank.fail(nil)
		tried := len(bank.all())
		b.Went("bank:1", attendance.Who{})
		h.stop("a")
		h.stop("b")
		if got, want := bank.told(tried), []string{"occupied bank:1", "counted bank:1", "counted bank:1", "vacated bank:1"}; !slices.Equal(got, want) {
			t.Errorf("when it is back the bank is told %q, want %q", got, want)
		}
	})
}

func TestLines_ComeAndGoWhileANodeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, first, second := startHouse(t), &backend{}, &backend{}
		a := h.run("a", attendance.Config{})
		a.Came("shop:1", attendance.Who{})
		time.Sleep(time.Second)
		a.SetLines([]attendance.Line{lineOf("shop", first)})
		time.Sleep(time.Second)
		a.Came("shop:1", attendance.Who{})
		time.Sleep(time.Second)
		a.SetLines([]attendance.Line{lineOf("shop", second)})
		time.Sleep(time.Second)
		a.Came("shop:2", attendance.Who{})
		time.Sleep(time.Second)
		a.SetLines(nil)
		a.Came("shop:3", attendance.Who{})
		time.Sleep(time.Minute)
		got := [][]string{first.told(0), second.told(0)}
		if want := "[[counted shop:1] [occupied shop:2 counted shop:2]]"; fmt.Sprint(got) != want {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

func TestLines_PostsStandBehindWhatHappenedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, shop := startHouse(t), &backend{}
		shop.fail(errors.New("away"))
		a := h.run("a", attendance.Config{Lines: []attendance.Line{lineOf("shop", shop)}})
		a.Came("shop:1", attendance.Who{})
		message := &broker.Message{Channel: "shop:1", Payload: make([]byte, 300<<10), Event: "client-drawing", User: "alice"}
		for range 5 {
			a.Post(broker.Notice{Line: "shop", Event: "published", Channel: "shop:1", User: "alice", Message: message})
		}
		time.Sleep(time.Second)
		shop.fail(nil)
		tried := len(shop.all())
		time.Sleep(10 * time.Second)
		want := []string{"occupied shop:1", "counted shop:1"}
		for range 5 {
			want = append(want, "published shop:1 alice")
		}
		if got := shop.told(tried); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		for _, batch := range shop.all()[tried:] {
			if len(batch) > 5 {
				t.Errorf("%d notices with large messages went at once", len(batch))
			}
			for _, n := range batch {
				if n.Message != nil && len(n.Message.Payload) != 300<<10 {
					t.Errorf("a message of %d bytes", len(n.Message.Payload))
				}
			}
		}
	})
}

// narrow is a broker that refuses some of the notices put in line.
type narrow struct {
	*broker.Memory
	refuses func(list []broker.Notice) func(n *broker.Notice) bool
}

func (b *narrow) Put(ctx context.Context, by broker.Attendant, list []broker.Notice) (inLine []bool, err error) {
	inLine, refuses := make([]bool, len(list)), b.refuses(list)
	for i := range list {
		if refuses(&list[i]) {
			err = errors.New("refused")
		} else if _, err := b.Memory.Put(ctx, by, list[i:i+1]); err != nil {
			return inLine, err
		} else {
			inLine[i] = true
		}
	}
	return inLine, err
}

// TestLines_WhatIsInLineIsNotPutThereAgain checks that notices are delivered once while a
// part of the broker is away.
func TestLines_WhatIsInLineIsNotPutThereAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, shop := startHouse(t), &backend{}
		var open atomic.Bool
		part := &narrow{h.broker, func([]broker.Notice) func(*broker.Notice) bool {
			return func(n *broker.Notice) bool { return n.Channel == "shop:full" && !open.Load() }
		}}
		a := h.run("a", attendance.Config{Presence: part, Lines: []attendance.Line{lineOf("shop", shop)}})
		for _, channel := range []string{"shop:full", "shop:1"} {
			a.Post(broker.Notice{Line: "shop", Event: "published", Channel: channel})
		}
		time.Sleep(time.Minute)
		if got, want := shop.told(0), []string{"published shop:1"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		open.Store(true)
		time.Sleep(time.Minute)
		if got, want := shop.told(0), []string{"published shop:1", "published shop:full"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// TestLines_PostsAreBoundedWhileTheyAreOnTheirWay checks the bound while attempts fail and
// more notices are posted between them.
func TestLines_PostsAreBoundedWhileTheyAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10_000
		h, largest := startHouse(t), 0
		var dropped, attempts atomic.Int64
		var a *attendance.Attendance
		part := &narrow{h.broker, func(list []broker.Notice) func(*broker.Notice) bool {
			largest = max(largest, len(list))
			attempts.Add(1)
			for range most / 2 {
				a.Post(broker.Notice{Line: "shop", Event: "published", Channel: "shop:1"})
			}
			return func(*broker.Notice) bool { return true }
		}}
		var logged log
		a = h.run("a", attendance.Config{Presence: part, Log: slog.New(slog.NewTextHandler(&logged, nil)), Dropped: func(n int) { dropped.Add(int64(n)) }})
		a.Post(broker.Notice{Line: "shop", Event: "published", Channel: "shop:1"})
		time.Sleep(time.Minute)
		h.stop("a")
		if attempts.Load() < 5 || largest > most {
			t.Errorf("%d notices waited at once, after %d attempts", largest, attempts.Load())
		}
		if want := 1 + attempts.Load()*most/2 - most; dropped.Load() != want {
			t.Errorf("%d were counted as dropped, want %d", dropped.Load(), want)
		}
		if got := logged.dropped(); got != int(dropped.Load()) {
			t.Errorf("%d were logged as dropped of %d", got, dropped.Load())
		}
	})
}

// log collects what a node logs.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// dropped returns the number of dropped notices that were logged, in total.
func (l *log) dropped() (sum int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, found := range regexp.MustCompile(`dropped=(\d+)`).FindAllStringSubmatch(l.text.String(), -1) {
		n, _ := strconv.Atoi(found[1])
		sum += n
	}
	return sum
}

// TestLines_BytesOfPostsAreBounded posts messages with a large payload, or with much beside it.
func TestLines_BytesOfPostsAreBounded(t *testing.T) {
	const size, most = 1 << 20, 16 << 20
	for name, message := range map[string]*broker.Message{"payload": {Payload: make([]byte, size)}, "tags": {Tags: make([]byte, size)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, largest := startHouse(t), 0
				var dropped atomic.Int64
				part := &narrow{h.broker, func(list []broker.Notice) func(*broker.Notice) bool {
					largest = max(largest, len(list)*size)
					return func(*broker.Notice) bool { return true }
				}}
				a := h.run("a", attendance.Config{Presence: part, Dropped: func(n int) { dropped.Add(int64(n)) }})
				for range 40 {
					a.Post(broker.Notice{Line: "shop", Event: "published", Channel: "shop:1", Message: message})
				}
				time.Sleep(time.Minute)
				h.stop("a")
				if largest != most || dropped.Load() != 40-most/size {
					t.Errorf("%d bytes waited and %d notices were dropped, want %d and %d", largest, dropped.Load(), most, 40-most/size)
				}
			})
		})
	}
}
