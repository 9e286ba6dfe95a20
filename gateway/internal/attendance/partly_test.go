package attendance_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
)

// partly is a broker in parts, of which the one that has the channels "away:*" can be away.
type partly struct {
	*broker.Memory
	away atomic.Bool
}

func (p *partly) lacks(channel string) bool {
	return p.away.Load() && strings.HasPrefix(channel, "away:")
}

func (p *partly) Attend(ctx context.Context, by broker.Attendant, list []broker.Attendance) (taken []bool, err error) {
	taken = make([]bool, len(list))
	for i := range list {
		if p.lacks(list[i].Channel) {
			err = broker.ErrUnavailable
		} else if one, err := p.Memory.Attend(ctx, by, list[i:i+1]); err != nil {
			return taken, err
		} else {
			taken[i] = one[0]
		}
	}
	return taken, err
}

func (p *partly) Keep(ctx context.Context, by broker.Attendant, version uint64) (broker.Standing, error) {
	standing, err := p.Memory.Keep(ctx, by, version)
	if p.away.Load() {
		err = broker.ErrUnavailable
	}
	return standing, err
}

func (p *partly) Put(ctx context.Context, by broker.Attendant, list []broker.Notice) (inLine []bool, err error) {
	part := &narrow{p.Memory, func([]broker.Notice) func(*broker.Notice) bool {
		return func(n *broker.Notice) bool { return p.lacks(n.Channel) }
	}}
	return part.Put(ctx, by, list)
}

func TestRun_ServesChannelsWhosePartOfTheBrokerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, shop := startHouse(t), &backend{}
		part := &partly{Memory: h.broker}
		part.away.Store(true)
		a := h.run("a", attendance.Config{Presence: part, Lines: all(shop.deliver)})
		a.Came("away:1", alice())
		a.Post(broker.Notice{Event: "published", Channel: "away:1"})
		time.Sleep(time.Minute)

		asked := time.Now()
		a.Came("here", alice())
		a.Post(broker.Notice{Event: "published", Channel: "here"})
		if got, took := h.members(a, "here"), time.Since(asked); got != "1: alice*1" || took > 100*time.Millisecond {
			t.Errorf("on it are %q, known after %v", got, took)
		}
		if _, err := a.Members(t.Context(), "away:1"); err == nil {
			t.Error("the members of a channel are known that cannot be stated")
		}
		a.Went("here", alice())
		time.Sleep(7 * time.Second)
		if got, want := shop.told(0), []string{"occupied here", "joined here alice", "published here", "left here alice", "vacated here"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}

		part.away.Store(false)
		time.Sleep(7 * time.Second)
		if got, want := shop.told(0)[5:], []string{"occupied away:1", "joined away:1 alice", "published away:1"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}
