package broker_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// promptly is what "within a second" may take on a busy machine.
const promptly = 3 * time.Second

func startNode(t *testing.T, c broker.RedisConfig) (*broker.Redis, *brokertest.Recorder) {
	t.Helper()
	b := newRedis(t, c)
	told, _ := brokertest.RunBroker(t, b)
	return b, told
}

func subscribeAll(t *testing.T, b broker.Broker, channels []string) {
	t.Helper()
	for _, channel := range channels {
		if err := b.Subscribe(t.Context(), channel); err != nil {
			t.Fatalf("Subscribe: %v", err)
		}
	}
}

func channelNames(n int) []string {
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("room:%03d", i)
	}
	return names
}

func message(channel, payload string) broker.Message {
	return broker.Message{Channel: channel, Payload: []byte(payload), Kind: broker.Text}
}

// mustDeliver publishes on each channel until a message is received: a link that
// is about to be given up may still lose some.
func mustDeliver(t *testing.T, from broker.Broker, to *brokertest.Recorder, channels []string) {
	t.Helper()
	for _, channel := range channels {
		before := len(to.Messages(channel))
		brokertest.Eventually(t, "a message on "+channel, func() bool {
			_, err := broker.Publish(t.Context(), from, message(channel, "proof"), broker.PublishOptions{})
			return err == nil && to.Hears(channel, before+1, time.Second)
		})
	}
}

// keepPublishing publishes until stop is called, and fails the test if an answer
// takes too long or is another error than ErrUnavailable.
func keepPublishing(t *testing.T, b broker.Broker, channels []string, o broker.PublishOptions) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				start := time.Now()
				_, err := broker.Publish(context.Background(), b, message(channels[(i+n)%len(channels)], "load"), o)
				if took := time.Since(start); took > promptly {
					t.Errorf("Publish answered after %v", took)
				}
				if err != nil && !errors.Is(err, broker.ErrUnavailable) {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	return func() {
		cancel()
		wait.Wait()
	}
}

func TestRedis_StoppedAndStartedUnderLoad(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	a, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	b, _ := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	channels := channelNames(50)
	subscribeAll(t, a, channels)
	stop := keepPublishing(t, b, channels, broker.PublishOptions{HistorySize: 10})
	defer stop()
	for _, channel := range channels {
		told.WaitMessages(channel, 2)
	}

	server.Stop()
	told.WaitDown()
	if err := a.Subscribe(t.Context(), "other"); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Subscribe while Redis is away: %v, want ErrUnavailable", err)
	}
	server.Start()
	told.WaitUp()
	if gaps := told.WaitGaps(len(channels)); !slices.Equal(gaps, channels) {
		t.Errorf("gaps told: %q, want each subscribed channel once", gaps)
	}
	stop()
	mustDeliver(t, b, told, channels)
}

func TestRedis_BlackHole(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	given := make(chan struct{}, 1000) // up, and made again
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Connections: 1, Observe: broker.RedisObserver{
		Reconnect: func() { given <- struct{}{} },
	}})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)

	server.Pause()
	var callers atomic.Int64
	attempts := map[string]func(channel string) error{
		"Publish": func(channel string) error {
			_, err := broker.Publish(t.Context(), b, message(channel, "lost"), broker.PublishOptions{})
			return err
		},
		"Publish with history": func(channel string) error {
			_, err := broker.Publish(t.Context(), b, message(channel, "lost"), broker.PublishOptions{HistorySize: 5})
			return err
		},
		"Subscribe": func(channel string) error {
			return b.Subscribe(t.Context(), channel, fmt.Sprint("new:", callers.Add(1)))
		},
		"Latest": func(channel string) error {
			_, err := b.Latest(t.Context(), channel, broker.Most{Messages: 5})
			return err
		},
		"Tops": func(channel string) error { _, err := b.Tops(t.Context(), channels); return err },
	}
	var wait sync.WaitGroup
	for name, attempt := range attempts {
		for i := range 500 {
			wait.Go(func() {
				start := time.Now()
				err := attempt(channels[i%len(channels)])
				if took := time.Since(start); took > promptly || !errors.Is(err, broker.ErrUnavailable) {
					t.Errorf("%s answered after %v: %v", name, took, err)
				}
			})
		}
	}
	wait.Wait()
	told.WaitDown()

	<-given
	server.Resume()
	told.WaitUp()
	if gaps := told.WaitGaps(len(channels)); !slices.Equal(gaps, channels) {
		t.Errorf("gaps told: %q, want each subscribed channel once", gaps)
	}
	mustDeliver(t, b, told, channels)
}

// A Redis that stands still for a moment is not ready, and forgets nothing: no gap
// is told where nothing was lost.
func TestRedis_StandsStillForAMoment(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)
	server.Pause()
	told.WaitDown()
	if err := b.Subscribe(t.Context(), "new"); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Subscribe meanwhile: %v", err)
	}
	server.Resume()
	told.WaitUp()
	subscribeAll(t, b, []string{"new"})
	mustDeliver(t, b, told, channels)
	if gaps := told.Gaps(); len(gaps) > 0 {
		t.Errorf("gaps told: %q", gaps)
	}
}

// A link with nobody to talk to must be found dead without help.
func TestRedis_SilentBlackHole(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	_, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	server.Pause()
	if err := told.WaitDown(); err == nil {
		t.Error("the link is down without a reason")
	}
	server.Resume()
	told.WaitUp()
}

func TestRedis_KilledSubscribers(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)
	must(t, b.Unsubscribe(t.Context(), channels[0]))
	server.CLI("CLIENT", "KILL", "TYPE", "pubsub")
	if gaps := told.WaitGaps(len(channels) - 1); !slices.Equal(gaps, channels[1:]) {
		t.Errorf("gaps told: %q, want those still subscribed", gaps)
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels[1:])
}

func TestRedis_AwayAtStart(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.Stop()
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitDown()
	server.Start()
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	mustDeliver(t, b, told, []string{"a"})
	if gaps := told.Gaps(); len(gaps) > 0 {
		t.Errorf("gaps told: %q", gaps)
	}
}

// Channels of several partitions do not wait for Redis one partition after the other.
func TestRedis_SubscribesTogetherFailTogether(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Connections: 16})
	told.WaitUp()
	server.Pause()
	defer server.Resume()
	channels := channelNames(100)
	start := time.Now()
	err := b.Subscribe(t.Context(), channels...)
	if took := time.Since(start); took > promptly {
		t.Errorf("answered after %v", took)
	}
	for _, channel := range channels {
		if !errors.Is(broker.WhyNot(err, channel), broker.ErrUnavailable) {
			t.Errorf("%q is subscribed: %v", channel, err)
		}
	}
}

func TestRedis_RunEndsWhateverRedisDoes(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b := newRedis(t, broker.RedisConfig{URL: server.URL()})
	told, stop := brokertest.RunBroker(t, b)
	told.WaitUp()
	server.Pause()
	publishing := keepPublishing(t, b, []string{"a", "b"}, broker.PublishOptions{})
	start := time.Now()
	stop()
	if took := time.Since(start); took > 2*promptly {
		t.Errorf("Run returned after %v", took)
	}
	publishing()
}

func TestRedis_RefusalsAreUnavailable(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	refusals := []struct {
		code     string
		from, to []string
	}{
		{"OOM", []string{"CONFIG", "SET", "maxmemory", "1"}, []string{"CONFIG", "SET", "maxmemory", "0"}},
		{"READONLY", []string{"REPLICAOF", "127.0.0.1", "1"}, []string{"REPLICAOF", "NO", "ONE"}},
	}
	for _, refusal := range refusals {
		channel := "channel:" + refusal.code
		server.CLI(refusal.from...)
		_, err := broker.Publish(t.Context(), b, message(channel, "x"), broker.PublishOptions{HistorySize: 5})
		if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), refusal.code) {
			t.Errorf("Publish: %v, want ErrUnavailable because of %s", err, refusal.code)
		}
		server.CLI(refusal.to...)
		if _, err := broker.Publish(t.Context(), b, message(channel, "x"), broker.PublishOptions{HistorySize: 5}); err != nil {
			t.Errorf("Publish after %s: %v", refusal.code, err)
		}
	}
}

func TestRedis_PasswordIsAskedFor(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI("CONFIG", "SET", "requirepass", "s3cret")
	_, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	if err := told.WaitDown(); !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("link without a password: %v, want NOAUTH", err)
	}
	_, told = startNode(t, broker.RedisConfig{URL: "redis://:wr0ng@" + server.Addr})
	if err := told.WaitDown(); !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("link with a wrong password: %v", err)
	}
	_, told = startNode(t, broker.RedisConfig{URL: "redis://:s3cret@" + server.Addr})
	told.WaitUp()
}

// calls returns how often Redis has run a command.
func calls(server *brokertest.RedisServer, command string) int {
	found := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(server.CLI("INFO", "commandstats"))
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

func TestRedis_ManyChannelsShareRoundTrips(t *testing.T) {
	brokertest.RequireRedis(t)
	const channels, callers = 100_000, 1000
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	server.CLI("CONFIG", "RESETSTAT")
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range channels / callers {
				channel := fmt.Sprintf("many:%d:%d", caller, i)
				if err := b.Subscribe(t.Context(), channel); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := calls(server, "subscribe"); n > channels/20 {
		t.Errorf("%d SUBSCRIBE for %d channels of %d callers", n, channels, callers)
	}

	server.Stop()
	told.WaitDown()
	server.Start()
	told.WaitUp()
	told.WaitGaps(channels)
	if n, want := calls(server, "subscribe"), channels/1000+4; n > want {
		t.Errorf("%d SUBSCRIBE to restore %d channels, want at most %d", n, channels, want)
	}
	mustDeliver(t, b, told, []string{"many:0:0", "many:999:99"})
}

func TestRedis_UnsubscribeLingers(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Linger: 100 * time.Millisecond})
	patient, _ := startNode(t, broker.RedisConfig{URL: server.URL(), Linger: time.Hour})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	subscribeAll(t, patient, []string{"b"})
	server.CLI("CONFIG", "RESETSTAT")
	for range 50 {
		must(t, patient.Unsubscribe(t.Context(), "b"))
		subscribeAll(t, patient, []string{"b"})
	}
	must(t, b.Unsubscribe(t.Context(), "a"))
	name := b.RedisName("a")
	brokertest.Eventually(t, "Redis to hear of the unsubscribe", func() bool {
		return server.CLI("PUBSUB", "NUMSUB", name) == name+"\n0"
	})
	if n, m := calls(server, "subscribe"), calls(server, "unsubscribe"); n != 0 || m != 1 {
		t.Errorf("%d SUBSCRIBE and %d UNSUBSCRIBE, want none and one", n, m)
	}
}

func TestRedis_PublishesShareRoundTrips(t *testing.T) {
	const publishers, each = 200, 20
	server := brokertest.StartRedis(t)
	var mu sync.Mutex
	trips := 0
	b, told := startNode(t, broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{
		RoundTrip: func(time.Duration) { mu.Lock(); trips++; mu.Unlock() },
	}})
	told.WaitUp()
	var wait sync.WaitGroup
	for range publishers {
		wait.Go(func() {
			for range each {
				if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	wait.Wait()
	if trips > publishers*each/4 {
		t.Errorf("%d round trips for %d publishes of %d publishers", trips, publishers*each, publishers)
	}
}
