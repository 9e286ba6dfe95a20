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

// More publishers than one pipeline takes, again and again: what waits behind a
// Redis that is silent must be answered in time too, and not be sent later.
func TestRedis_BlackHoleBehindLongQueue(t *testing.T) {
	brokertest.RequireRedis(t)
	const publishers, rounds = 3000, 3
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Connections: 1})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	server.Pause()
	var wait sync.WaitGroup
	for range publishers {
		wait.Go(func() {
			for range rounds {
				start := time.Now()
				_, err := broker.Publish(t.Context(), b, message("a", "lost"), broker.PublishOptions{})
				if took := time.Since(start); took > promptly || !errors.Is(err, broker.ErrUnavailable) {
					t.Errorf("Publish answered after %v: %v", took, err)
				}
			}
		})
	}
	wait.Wait()
	server.Resume()
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
	if sent := len(told.Messages("a")); sent > publishers {
		t.Errorf("%d messages were received, most of which nobody waited for", sent)
	}
}

// Publications are used again: those that were given up must not answer for
// others.
func TestRedis_AnswersAreOnesOwn(t *testing.T) {
	const publishers, each = 50, 40
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	o := broker.PublishOptions{HistorySize: 2 * publishers * each}
	var mu sync.Mutex
	answers := make(map[uint64]string) // payloads by offset
	var wait sync.WaitGroup
	for i := range publishers {
		wait.Go(func() {
			for n := range each {
				impatient, cancel := context.WithCancel(t.Context())
				wait.Go(cancel)
				_, _ = broker.Publish(impatient, b, message("a", "given up"), o) // either way is right
				payload := fmt.Sprintf("%d of %d", n, i)
				position, err := broker.Publish(t.Context(), b, message("a", payload), o)
				if err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
				mu.Lock()
				if other, taken := answers[position.Offset]; taken {
					t.Errorf("offset %d is the answer to %q and to %q", position.Offset, other, payload)
				}
				answers[position.Offset] = payload
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	page, err := b.Since(t.Context(), "a", broker.Position{}, broker.Most{})
	must(t, err)
	for _, m := range page.Messages {
		if got, ok := answers[m.Position.Offset]; ok && got != string(m.Payload) {
			t.Errorf("offset %d was the answer to %q, and has %q", m.Position.Offset, got, m.Payload)
		}
		delete(answers, m.Position.Offset)
	}
	if len(answers) > 0 {
		t.Errorf("%d answers without a message", len(answers))
	}
}

func TestRedis_RestFollowsWhatIsTold(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	for i := range 20 {
		told.Unrest()
		if i%2 == 0 {
			server.CLI("PUBLISH", "tidegate:a", "bare") // only the link hears of it
		} else if _, err := broker.Publish(t.Context(), b, message("nobody's", "x"), broker.PublishOptions{}); err != nil {
			t.Fatal(err) // only the lane does
		}
		told.WaitRested()
	}
}
