package pusher

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// Clients do not notice a loss that can be repaired. Any other loss closes the connection,
// which is the only way to tell a Pusher client. It reconnects and subscribes again, and a
// cache channel sends the last event again.
func TestLoss_IsRepairedOrEndsTheConnection(t *testing.T) {
	server := brokertest.StartRedis(t)
	way := brokertest.LayWay(t, server.Addr)
	start := func(url string) *node {
		redis, err := broker.NewRedis(broker.RedisConfig{URL: url})
		must(t, err)
		return startNode(t, gateway.Config{Broker: redis, History: redis, Presence: redis, Register: redis})
	}
	far, near := start("redis://"+way.Addr), start(server.URL())
	publish := func(channel, text string) {
		t.Helper()
		body := `{"name":"said","channel":"` + channel + `","data":"` + text + `"}`
		if status, answer := near.request(shop, "POST", "/apps/3/events", "", body); status != 200 {
			t.Fatalf("publish: %d %s", status, answer)
		}
	}
	cached, _ := far.connect(shop)
	plain, _ := far.connect(shop)
	for p, channel := range map[*peer]string{cached: "cache-news", plain: "news"} {
		p.say(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`)
		p.finds("event", "pusher_internal:subscription_succeeded")
	}

	way.Break()
	brokertest.Eventually(t, "the link is lost", func() bool { return far.Ready() != nil })
	publish("cache-news", "missed")
	publish("news", "missed")
	way.Mend()

	if f := cached.finds("event", "said"); f.text("data") != "missed" {
		t.Errorf("heard %v", f)
	}
	if closed := plain.isClosed(); closed.Code != comeBack || !strings.Contains(closed.Reason, "missed") {
		t.Errorf("closed with %d %q", closed.Code, closed.Reason)
	}
	back, _ := far.connect(shop)
	back.say(`{"event":"pusher:subscribe","data":{"channel":"cache-news"}}`)
	if f := back.finds("event", "said"); f.text("data") != "missed" {
		t.Errorf("who is back heard %v", f)
	}
}

// unwilling is a broker that does not confirm its first subscribe to the channel "late".
type unwilling struct {
	broker.Broker
	once sync.Once
}

func (b *unwilling) Subscribe(ctx context.Context, channels ...string) (err error) {
	if slices.Contains(channels, "late") {
		b.once.Do(func() { err = broker.ErrUnavailable })
	}
	if err != nil {
		return err
	}
	return b.Broker.Subscribe(ctx, channels...)
}

// The library does not repeat a subscribe that fails, so a client that could not be subscribed
// for now is made to connect again.
func TestOfficial_SubscribesAgainWhenTheBrokerIsBack(t *testing.T) {
	memory := broker.NewMemory()
	n := startNode(t, gateway.Config{Broker: &unwilling{Broker: memory}, History: memory, Presence: memory})
	runOfficial(t, officialPackages(t), n.host(), "late.test.mjs")
}
