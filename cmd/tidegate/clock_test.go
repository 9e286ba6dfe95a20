package main

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/raw"
	"tidegate/gateway/rules"
)

func TestClock_TicksWhileSomebodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := broker.NewMemory()
		c := &clock{Broker: memory}
		g, err := gateway.New(gateway.Config{Broker: c, History: memory, Rules: rules.Development()})
		must(t, err)
		ctx, end := context.WithCancel(t.Context())
		var parts sync.WaitGroup
		defer parts.Wait()
		defer end()
		parts.Go(func() { _ = g.Run(ctx) })
		parts.Go(func() { _ = c.run(ctx, g) })

		<-time.After(2500 * time.Millisecond) // since 2000-01-01T00:00:00Z, where synctest begins
		if ticks := ticksOf(t, memory); len(ticks) != 0 {
			t.Errorf("ticks that nobody hears: %q", ticks)
		}
		s, err := g.Open(ctx, gateway.Hello{
			Protocol: raw.Protocol{}, Transport: "test",
			Commands: []gateway.Command{gateway.Subscribe{Channel: clockChannel}},
		})
		must(t, err)
		<-time.After(2 * time.Second)
		want := []string{`{"time":"2000-01-01T00:00:03Z"}`, `{"time":"2000-01-01T00:00:04Z"}`}
		if ticks := ticksOf(t, memory); !slices.Equal(ticks, want) {
			t.Errorf("ticks %q, want %q", ticks, want)
		}
		s.Close(gateway.Left)
		<-time.After(time.Minute) // the gateway stays subscribed for a moment
		before := len(ticksOf(t, memory))
		<-time.After(time.Minute)
		if ticks := ticksOf(t, memory); len(ticks) != before {
			t.Errorf("the clock ticks on with nobody there: %q", ticks[before:])
		}
	})
}

func ticksOf(t *testing.T, h broker.History) (ticks []string) {
	t.Helper()
	page, err := h.Latest(t.Context(), clockChannel, broker.Most{})
	must(t, err)
	for _, m := range page.Messages {
		ticks = append(ticks, string(m.Payload))
	}
	return ticks
}
