package pusher

import (
	"strings"
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
