package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// reception is a backend that gets notices about the channels of an app.
type reception struct {
	mu    sync.Mutex
	told  []string
	fails bool
}

func (r *reception) of(app string, wants ...gateway.HookEvent) gateway.Receiver {
	return gateway.Receiver{
		Name: app, Tell: r.tell,
		Of:    func(channel string) bool { return strings.HasPrefix(channel, app+":") },
		Wants: func(event gateway.HookEvent) bool { return slices.Contains(wants, event) },
	}
}

func (r *reception) tell(_ context.Context, notices []gateway.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails {
		return broker.ErrUnavailable
	}
	for _, n := range notices {
		text := fmt.Sprintf("%s %s %d", n.Event, n.Channel, n.Sessions)
		if m := n.Message; m != nil {
			text = fmt.Sprintf("%s %s by %s: %s %s", n.Event, n.Channel, n.User, m.Event, m.Payload)
		}
		r.told = append(r.told, text)
	}
	return nil
}

// take returns the notices since the last call.
func (r *reception) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.told
	r.told = nil
	return told
}

func (r *reception) fail(fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = fails
}

func wantTold(t *testing.T, r *reception, want ...string) {
	t.Helper()
	time.Sleep(5 * time.Second)
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("told\n%q\nwant\n%q", got, want)
	}
}

func TestReceivers_HearOfTheirChannelsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(nil)
		n := startNode(t, gateway.Config{Hooks: o, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 5}}})
		shop, empty, bank := &reception{}, &reception{}, &reception{}
		bank.fail(true)
		nothingRecent := empty.of("shop", gateway.OnNothingRecent)
		nothingRecent.Name = "empty"
		n.SetReceivers([]gateway.Receiver{
			shop.of("shop", gateway.OnPublished, gateway.OnSessionsChanged),
			nothingRecent,
			bank.of("bank", gateway.OnChannelOccupied),
		})
		alice := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		alice.send("subrecent shop:1 1")
		alice.expect("nothing recent shop:1")
		wantTold(t, shop, "sessions_changed shop:1 1")
		wantTold(t, empty, "nothing_recent shop:1 0")
		for _, line := range []string{"pub shop:1 hello", "pub bank:1 money", "sub bank:1", "subrecent shop:1 1"} {
			alice.send("%s", line)
		}
		n.publish("shop:1", "the backend's own")
		wantTold(t, shop, "message_published shop:1 by alice:  hello")
		bob := n.connect(gateway.Hello{})
		bob.send("sub shop:1")
		wantTold(t, shop, "sessions_changed shop:1 2")
		wantTold(t, empty)
		bank.fail(false)
		wantTold(t, bank, "channel_occupied bank:1 1")
		if o.heard("message_published shop:1 alice") != 1 || o.heard("message_published bank:1 alice") != 1 {
			t.Error("who hears of all channels was not told of what alice has published")
		}
		n.SetReceivers(nil)
		alice.send("pub shop:1 more")
		wantTold(t, shop)
	})
}

func TestReceivers_AreToldOnceOfAPublishThatIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shop := &reception{}
		n := startNode(t, gateway.Config{Rules: allOpen})
		n.SetReceivers([]gateway.Receiver{shop.of("shop", gateway.OnPublished)})
		for range 3 {
			c := gateway.Publish{Channel: "shop:1", Payload: []byte("hello"), Kind: broker.Text, Key: "k"}
			if _, err := n.Publish(t.Context(), &gateway.Principal{User: "alice"}, c); err != nil {
				t.Fatal(err)
			}
		}
		wantTold(t, shop, "message_published shop:1 by alice:  hello")
	})
}

func TestReceivers_ThatComeLaterHaveChannelsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}})
		alice := n.listen("shop:1")
		shop := &reception{}
		n.SetReceivers([]gateway.Receiver{shop.of("shop", gateway.OnSessionsChanged, gateway.OnChannelOccupied, gateway.OnChannelVacated)})
		wantTold(t, shop, "channel_occupied shop:1 1", "sessions_changed shop:1 1")
		alice.send("unsub shop:1")
		wantTold(t, shop, "sessions_changed shop:1 0")
		wantTold(t, shop, "channel_vacated shop:1 0")
	})
}

func TestReceivers_AreToldByAnotherNode(t *testing.T) {
	shop := &reception{}
	nodes := startCluster(t, 2, gateway.Config{Hooks: newOffice(nil), Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}})
	for _, n := range nodes {
		n.SetReceivers([]gateway.Receiver{shop.of("shop", gateway.OnPublished)})
	}
	for i, n := range nodes {
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		p.send("pub shop:1 from-%d", i)
		p.expect("published")
	}
	eventually(t, "both to be told", func() bool {
		shop.mu.Lock()
		defer shop.mu.Unlock()
		return len(shop.told) == 2
	})
}
