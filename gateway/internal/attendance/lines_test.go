package attendance_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
