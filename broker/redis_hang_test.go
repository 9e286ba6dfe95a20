package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// Redis answers who it is, and takes no writes: publishes hang. The node is not ready
// then, and is again by itself.
func TestRedis_WritesArePaused(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	channels := channelNames(5)
	subscribeAll(t, b, channels)
	first := publish(t, b, "1")
	server.CLI("CLIENT", "PAUSE", "60000", "WRITE")
	for _, o := range []broker.PublishOptions{{}, kept} {
		start := time.Now()
		if _, err := broker.Publish(t.Context(), b, message("b", "x"), o); !errors.Is(err, broker.ErrUnavailable) || time.Since(start) > promptly {
			t.Errorf("publish: %v after %v", err, time.Since(start))
		}
	}
	told.WaitDown()
	server.CLI("CLIENT", "UNPAUSE")
	told.WaitUp()
	mustDeliver(t, b, told, channels)
	if gaps := told.Gaps(); len(gaps) > 0 {
		t.Errorf("gaps told: %q", gaps)
	}
	if payloads, page := since(t, b, first); page.Lost {
		t.Errorf("since %v: %q, %+v", first, payloads, page)
	}
}

// Redis ends a subscriber that has too much waiting.
func TestRedis_SubscriberIsOverItsOutputLimit(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Connections: 1})
	other, _ := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	server.CLI("CONFIG", "SET", "client-output-buffer-limit", "pubsub 100000 0 0")
	brokertest.Eventually(t, "a message to be confirmed", func() bool {
		_, err := broker.Publish(t.Context(), other, message("a", strings.Repeat("x", 300_000)), broker.PublishOptions{})
		return err == nil
	})
	if gaps := told.WaitGaps(1); gaps[0] != "a" {
		t.Errorf("gaps told: %q", gaps)
	}
	told.WaitUp()
	mustDeliver(t, other, told, []string{"a"})
}

// A network brings half of an answer, and then nothing.
func TestRedis_HalfAnAnswerAndThenSilence(t *testing.T) {
	halves := map[string]string{
		"subscribe": ">3\r\n$9\r\nsubscribe\r\n$10\r\ntide", "publish": ":", "evalsha": "$4\r\nk3", "del": ":",
		"hello": "%3\r\n$6\r\nser", "info": "$50\r\nrun_id:01",
	}
	for command, half := range halves {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			var hangs atomic.Bool
			server := startFakeRedis(t, func(said []string) (string, bool) {
				if said[0] == command {
					return half, hangs.Load()
				}
				return "", hangs.Load()
			})
			b, told := startNode(t, broker.RedisConfig{URL: server.URL, Connections: 1})
			told.WaitUp()
			subscribeAll(t, b, []string{"a"})
			hangs.Store(true)
			attempts := map[string]func(ctx context.Context, n int) error{
				"Publish": func(ctx context.Context, _ int) error {
					_, err := broker.Publish(ctx, b, message("a", "x"), broker.PublishOptions{})
					return err
				},
				"Publish with history": func(ctx context.Context, _ int) error {
					_, err := broker.Publish(ctx, b, message("a", "x"), kept)
					return err
				},
				"Subscribe": func(ctx context.Context, n int) error { return b.Subscribe(ctx, fmt.Sprint("new:", n)) },
			}
			for name, attempt := range attempts {
				start := time.Now()
				err := attempt(t.Context(), 0)
				if took := time.Since(start); took > promptly || !errors.Is(err, broker.ErrUnavailable) {
					t.Errorf("%s: %v after %v", name, err, took)
				}
			}
			hangs.Store(false)
			for name, attempt := range attempts {
				n := 0
				brokertest.Eventually(t, name+" to succeed", func() bool { n++; return attempt(t.Context(), n) == nil })
			}
			told.WaitUp()
		})
	}
}

// What is subscribed goes on, but there are no new connections to publish with.
func TestRedis_RefusesNewConnections(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	var refuses atomic.Bool
	b, told := startNode(t, broker.RedisConfig{
		URL: server.URL(), Connections: 1,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if refuses.Load() {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	mustDeliver(t, b, told, []string{"a"})
	refuses.Store(true)
	server.CLI("CLIENT", "KILL", "TYPE", "normal")
	if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Publish: %v", err)
	}
	told.WaitDown()
	refuses.Store(false)
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
	if gaps := told.Gaps(); len(gaps) > 0 {
		t.Errorf("gaps told: %q", gaps)
	}
}
