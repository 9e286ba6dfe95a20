package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// Nothing of the node arrives, and messages keep coming: they are no answer.
func TestRedis_OneDirectionIsDead(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	way := brokertest.LayWay(t, server.Addr)
	b, told := startNode(t, broker.RedisConfig{URL: "redis://" + way.Addr, Connections: 1})
	other, itsTold := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	itsTold.WaitUp()
	subscribeAll(t, b, []string{"a"})
	defer makeNoise(t, other, "a")()
	told.WaitMessages("a", 10)

	way.Block()
	start := time.Now()
	for i := range 8 { // one after the other: only the first have to wait
		if err := b.Subscribe(t.Context(), fmt.Sprint("new:", i)); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("Subscribe: %v", err)
		}
	}
	if took := time.Since(start); took > promptly {
		t.Errorf("8 subscribes were answered after %v", took)
	}
	start = time.Now()
	_, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{})
	if took := time.Since(start); took > promptly || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Publish answered after %v: %v", took, err)
	}
	told.WaitDown()

	way.Cut()
	way.Mend()
	told.WaitUp()
	if gaps := told.WaitGaps(1); gaps[0] != "a" {
		t.Errorf("gaps told: %q", gaps)
	}
	subscribeAll(t, b, []string{"new:0"})
	mustDeliver(t, other, told, []string{"new:0"})
}

// makeNoise publishes on a channel until quiet is called.
func makeNoise(t *testing.T, from broker.Broker, channel string) (quiet func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			_, _ = broker.Publish(ctx, from, message(channel, "noise"), broker.PublishOptions{})
		}
	})
	return func() {
		cancel()
		wait.Wait()
	}
}
