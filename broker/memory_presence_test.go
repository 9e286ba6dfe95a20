package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryPresence_LineWithANameGoesWhenNothingHasComeForAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		b := NewMemory()
		go b.Run(ctx, deaf{})
		synctest.Wait()
		by, version := Attendant{Node: "a", Lease: time.Minute}, uint64(0)
		keep := func() {
			version++
			if _, err := b.Keep(ctx, by, version); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.Put(ctx, by, []Notice{{Line: "shop", Channel: "a"}, {Channel: "a"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lineWeek - time.Second)
		if keep(); len(b.lines) != 2 {
			t.Errorf("%d lines within the week, want 2", len(b.lines))
		}
		time.Sleep(time.Second)
		if keep(); len(b.lines) != 1 || b.lines[""] == nil {
			t.Errorf("after it there are %v, want the one without a name", b.lines)
		}
	})
}

// ender is a Receiver that ends a request when it hears of it.
type ender struct {
	deaf
	end   func()
	heard []string
}

func (e *ender) Receive(m Message) {
	e.end()
	e.heard = append(e.heard, m.Channel)
}

// What has changed is told, though the request that has changed it ends meanwhile.
func TestMemoryPresence_TellsAllOfARequestThatEnds(t *testing.T) {
	b, hears := NewMemory(), &ender{}
	b.channels.tell(hears)
	list := []Attendance{{Channel: "a"}, {Channel: "b"}}
	for i := range list {
		a := &list[i]
		a.Version, a.Sessions, a.Members = uint64(i+1), 1, []Member{{User: "alice", Sessions: 1}}
		if err := b.Subscribe(t.Context(), PresenceChannel(a.Channel)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	hears.end = cancel
	taken, err := b.Attend(ctx, Attendant{Node: "a", Lease: time.Minute}, list)
	if err != nil || len(hears.heard) != 2 {
		t.Errorf("taken %v, %v, and told of %q", taken, err, hears.heard)
	}
}

// deaf is a Receiver to which nothing is said.
type deaf struct{}

func (deaf) Receive(Message)     {}
func (deaf) Gap([]string, error) {}
func (deaf) Link(error)          {}
func (deaf) Rest()               {}
