package broker_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// malformed is what no Redis says.
var malformed = []string{
	">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\nx\r\n", // a channel shorter than the prefix
	">3\r\n$7\r\nmessage\r\n$0\r\n\r\n$1\r\nx\r\n",
	">3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\nx\r\n",
	">3\r\n$7\r\nmessage\r\n$10\r\ntidegate:a\r\n$-1\r\n",
	">3\r\n$7\r\nmessage\r\n$10\r\ntidegate:a\r\n:7\r\n",
	">3\r\n$7\r\nmessage\r\n*1\r\n$1\r\nx\r\n*1\r\n:3\r\n",
	">3\r\n$7\r\nmessage\r\n$10\r\ntidegate:a\r\n*1\r\n$-1\r\n",
	">2\r\n$7\r\nmessage\r\n$10\r\ntidegate:a\r\n",
	">3\r\n$9\r\nsubscribe\r\n$10\r\ntidegate:a\r\n$1\r\n1\r\n",
	">1\r\n$9\r\nsubscribe\r\n",
	">3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
	"*2\r\n$4\r\npong\r\n:1\r\n",
	"*1\r\n$4\r\npong\r\n",
	">1\r\n$-1\r\n",
	"*1\r\n:1\r\n",
	">0\r\n", "*0\r\n",
	"*-1\r\n",
	"$-1\r\n",
	":1\r\n",
	"*1\r\n*1\r\n*1\r\n*0\r\n",
	"$999999999999999\r\n",
	"*2000000000\r\n",
	">3\r\n$7\r\nmessage\r\n$999999999999999\r\n",
	">3\r\n$7\r\nmessage\r\n*2000000000\r\n",
	"$-7\r\n",
	"*-7\r\n",
	"%1\r\n*0\r\n*0\r\n",
	">2000000000\r\n",
	"|1000000\r\n",
	"=3\r\nabc\r\n",
	"!999999999999999\r\n",
	"\r\n",
	"\n",
	"+" + strings.Repeat("x", 1<<20),
	"-" + strings.Repeat("x", 1<<20) + "\r\n",
	strings.Repeat("*1\r\n", 100_000),
	"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
	"-NOPERM no permission to run the 'subscribe' command\r\n",
}

// heedful is the broker of a test against odd answers, which counts panics.
func heedful(t testing.TB, f *fakeRedis) (*broker.Redis, *brokertest.Recorder, *atomic.Int64) {
	panics := new(atomic.Int64)
	b := newRedis(t, broker.RedisConfig{URL: f.URL, Connections: 1, Observe: broker.RedisObserver{
		Panic: func() { panics.Add(1) },
	}})
	told, _ := brokertest.RunBroker(t, b)
	return b, told, panics
}

// What Redis says to a subscriber may end the link, which is made anew and tells
// a gap.
func TestRedis_MalformedPush(t *testing.T) {
	for _, odd := range malformed {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			var said atomic.Bool
			server := startFakeRedis(t, func(command []string) (string, bool) {
				if command[0] == "subscribe" && command[1] == "tidegate:trigger" && !said.Swap(true) {
					return odd, true
				}
				return "", false
			})
			b, told, _ := heedful(t, server)
			told.WaitUp()
			subscribeAll(t, b, []string{"a"})
			if err := b.Subscribe(t.Context(), "trigger"); err == nil {
				t.Errorf("%.60q passes for a confirmation", odd)
			}
			if gaps := told.WaitGaps(1); gaps[0] != "a" {
				t.Errorf("gaps told: %q", gaps)
			}
			told.WaitUp()
			subscribeAll(t, b, []string{"b"})
		})
	}
}

// What it says to one who publishes or reads fails that, and no more.
func TestRedis_MalformedAnswers(t *testing.T) {
	for _, odd := range malformed {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			var sane atomic.Bool
			server := startFakeRedis(t, func(command []string) (string, bool) {
				return odd, !sane.Load() && (command[0] == "evalsha" || command[0] == "publish")
			})
			b, told, panics := heedful(t, server)
			told.WaitUp()
			o := broker.PublishOptions{HistorySize: 5}
			if _, err := broker.Publish(t.Context(), b, message("a", "x"), o); !errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("publish with history, answered %.60q: %v", odd, err)
			}
			if _, err := b.Latest(t.Context(), "a", broker.Most{Messages: 5}); !errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("read, answered %.60q: %v", odd, err)
			}
			sane.Store(true)
			brokertest.Eventually(t, "a publish to be confirmed", func() bool {
				_, err := broker.Publish(t.Context(), b, message("a", "x"), o)
				return err == nil
			})
			if n := panics.Load(); n > 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// A caller whose done panics keeps nobody else from his answer.
func TestRedis_PanicOfACaller(t *testing.T) {
	server := startFakeRedis(t, func([]string) (string, bool) { return "", false })
	b, told, panics := heedful(t, server)
	told.WaitUp()
	answered := make(chan error, 1)
	b.Publish(message("a", "1"), broker.PublishOptions{}, func(broker.Position, error) { panic("on purpose") })
	b.Publish(message("a", "2"), broker.PublishOptions{}, func(_ broker.Position, err error) { answered <- err })
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("the second publish: %v", err)
		}
	case <-time.After(promptly):
		t.Fatal("the second publish is not answered")
	}
	if n := panics.Load(); n != 1 {
		t.Errorf("%d panics are counted, want 1", n)
	}
}

// badReceiver panics on each message once.
type badReceiver struct {
	*brokertest.Recorder
	done atomic.Bool
}

func (r *badReceiver) Receive(m broker.Message) {
	if !r.done.Swap(true) {
		panic("on purpose")
	}
	r.Recorder.Receive(m)
}

// A receiver that panics ends the link that told it, which is made anew and tells
// a gap.
func TestRedis_PanicOfTheReceiver(t *testing.T) {
	server := brokertest.StartRedis(t)
	var panics atomic.Int64
	b := newRedis(t, broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{
		Panic: func() { panics.Add(1) },
	}})
	told := brokertest.NewRecorder(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, &badReceiver{Recorder: told}) }()
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	if _, err := broker.Publish(t.Context(), b, message("a", "1"), broker.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	if gaps := told.WaitGaps(1); gaps[0] != "a" || panics.Load() != 1 {
		t.Errorf("gaps %q, %d panics", gaps, panics.Load())
	}
	mustDeliver(t, b, told, []string{"a"})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzRedis serves data in answers to what a real broker asks, cut at the bytes 0,
// and then is sane: whatever was said, the broker must be up again.
func FuzzRedis(f *testing.F) {
	for _, odd := range malformed {
		if len(odd) < 200 {
			f.Add([]byte("\x00\x00" + odd))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pieces := bytes.Split(data, []byte{0})
		var next atomic.Int64
		server := startFakeRedis(t, func([]string) (string, bool) {
			i := next.Add(1) - 1
			if i < int64(len(pieces)) && len(pieces[i]) > 0 {
				return string(pieces[i]), true
			}
			return "", false
		})
		b, _, _ := heedful(t, server)
		ctx := t.Context()
		o := broker.PublishOptions{HistorySize: 5}
		_ = b.Subscribe(ctx, "a")
		_, _ = broker.Publish(ctx, b, message("a", "x"), o)
		_, _ = b.Latest(ctx, "a", broker.Most{Messages: 5})
		next.Store(int64(len(pieces)))
		brokertest.Eventually(t, "a channel to be subscribed and a publish to be confirmed", func() bool {
			_, err := broker.Publish(ctx, b, message("b", "x"), o)
			return err == nil && b.Subscribe(ctx, "b") == nil
		})
	})
}
