package pusher

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	official "github.com/pusher/pusher-http-go/v5"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/webhook"
)

// hooked is an app's backend that receives webhooks.
type hooked struct {
	t      testing.TB
	server *httptest.Server

	// Guarded by mu.
	mu       sync.Mutex
	refuses  int // number of requests to refuse first
	requests []hookRequest
}

// hookRequest is a request that was accepted.
type hookRequest struct {
	Header http.Header `json:"headers"`
	Body   string      `json:"body"`
}

func startHooked(t testing.TB) *hooked {
	h := &hooked{t: t}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

func (h *hooked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuses > 0 {
		h.refuses--
		http.Error(w, "not now", http.StatusInternalServerError)
		return
	}
	h.requests = append(h.requests, hookRequest{r.Header.Clone(), string(body)})
}

func (h *hooked) taken() []hookRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookRequest(nil), h.requests...)
}

// events returns all events received, parsed by the official library for Go backends.
func (h *hooked) events() (all []official.WebhookEvent) {
	h.t.Helper()
	client := official.Client{AppID: shop.ID, Key: shop.Key, Secret: shop.Secret}
	for _, r := range h.taken() {
		read, err := client.Webhook(r.Header, []byte(r.Body))
		if err != nil {
			h.t.Fatalf("%s: %v", r.Body, err)
		}
		all = append(all, read.Events...)
	}
	return all
}

func (h *hooked) hears(want official.WebhookEvent) {
	h.t.Helper()
	brokertest.Eventually(h.t, "the backend hears of "+want.Name+" "+want.Channel, func() bool {
		for _, event := range h.events() {
			if event == want {
				return true
			}
		}
		return false
	})
}

// tellsOf makes a node send webhooks to the app's backend.
func (n *node) tellsOf(apps ...App) {
	n.t.Helper()
	must(n.t, n.apps.Set(apps))
	hooks := NewWebhooks(n.Gateway, &n.apps, slog.New(slog.DiscardHandler), func(string, string) {})
	n.t.Cleanup(hooks.Close)
	n.SetReceivers(hooks.Receivers())
}

func TestWebhooks_TellWhatHappensInPushersForm(t *testing.T) {
	backend := startHooked(t)
	backend.refuses = 1 // refused events must be sent again
	n := startNode(t, gateway.Config{PresenceLinger: time.Millisecond})
	app := shop
	app.Webhooks = []Webhook{{URL: backend.server.URL}}
	n.tellsOf(app)
	alice, socket := n.connect(app)
	alice.join(app, socket, "presence-room", `{"user_id":"alice"}`)
	alice.say(`{"event":"client-typing","channel":"presence-room","data":{"on":true}}`)
	alice.say(`{"event":"pusher:subscribe","data":{"channel":"cache-news"}}`)
	backend.hears(official.WebhookEvent{Name: "channel_occupied", Channel: "presence-room"})
	backend.hears(official.WebhookEvent{Name: "member_added", Channel: "presence-room", UserID: "alice"})
	backend.hears(official.WebhookEvent{
		Name: "client_event", Channel: "presence-room", Event: "client-typing", Data: `{"on":true}`, SocketID: socket, UserID: "alice",
	})
	backend.hears(official.WebhookEvent{Name: "cache_miss", Channel: "cache-news"})
	backend.hears(official.WebhookEvent{Name: "subscription_count", Channel: "cache-news"})
	_ = alice.conn.CloseNow() // it is open
	backend.hears(official.WebhookEvent{Name: "member_removed", Channel: "presence-room", UserID: "alice"})
	backend.hears(official.WebhookEvent{Name: "channel_vacated", Channel: "presence-room"})
	for _, r := range backend.taken() {
		if strings.Contains(r.Body, `"subscription_count","channel":"presence`) || strings.Contains(r.Body, "@") {
			t.Errorf("the backend was told %s", r.Body)
		}
	}
	backend.isValidToNode()
}

// isValidToNode checks all requests with the official library for Node backends.
func (h *hooked) isValidToNode() {
	h.t.Helper()
	folder := officialPackages(h.t)
	requests, err := json.Marshal(h.taken())
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "requests.json"), requests, 0o600)
	}
	must(h.t, err)
	check := exec.CommandContext(h.t.Context(), brokertest.FindProgram(h.t, "node", "nodejs"), "webhook.mjs")
	check.Dir = folder
	check.Env = append(os.Environ(), "GATEWAY=127.0.0.1:1", "APP_ID="+shop.ID, "APP_KEY="+shop.Key, "APP_SECRET="+shop.Secret)
	if out, err := check.CombinedOutput(); err != nil {
		h.t.Errorf("%v\n%s", err, out)
	}
}

// Each backend receives only events of its own app's channels, and only those it wants.
func TestWebhooks_AreOfOneApp(t *testing.T) {
	ours, theirs := startHooked(t), startHooked(t)
	n := startNode(t, gateway.Config{})
	first, second := shop, App{ID: "4", Key: "other", Secret: "other secret", Prefix: "other:"}
	first.Webhooks = []Webhook{{URL: ours.server.URL, Events: []string{"channel_occupied"}}}
	second.Webhooks = []Webhook{{URL: theirs.server.URL}}
	n.tellsOf(first, second)
	for _, a := range []App{second, first} {
		p, socket := n.connect(a)
		p.join(a, socket, "private-x", "")
	}
	ours.hears(official.WebhookEvent{Name: "channel_occupied", Channel: "private-x"})
	brokertest.Eventually(t, "the other backend is told", func() bool { return len(theirs.taken()) > 0 })
	if got := theirs.taken()[0]; got.Header.Get("X-Pusher-Key") != "other" || !strings.Contains(got.Body, `"channel":"private-x"`) {
		t.Errorf("the other backend was told %s by %s", got.Body, got.Header.Get("X-Pusher-Key"))
	}
	if got := ours.events(); len(got) != 1 {
		t.Errorf("the first backend was told %v", got)
	}
}

// Apps that move here from Pusher may list a URL once for each kind of event.
func TestWebhooks_OfOneURLAddUp(t *testing.T) {
	backend := startHooked(t)
	n := startNode(t, gateway.Config{})
	app, url := shop, backend.server.URL
	app.Webhooks = []Webhook{
		{URL: url, Events: []string{"channel_occupied"}}, {URL: url, Events: []string{"client_event", "channel_occupied"}},
	}
	n.tellsOf(app)
	p, socket := n.connect(app)
	p.join(app, socket, "private-x", "")
	p.say(`{"event":"client-typing","channel":"private-x","data":{}}`)
	backend.hears(official.WebhookEvent{Name: "channel_occupied", Channel: "private-x"})
	backend.hears(official.WebhookEvent{Name: "client_event", Channel: "private-x", Event: "client-typing", Data: "{}", SocketID: socket})
	if got := backend.events(); len(got) != 2 {
		t.Errorf("the backend was told %v, want each event once", got)
	}
	n.stop()
	if len(app.Webhooks[0].Events) != 1 {
		t.Errorf("the app's settings are changed: %v", app.Webhooks)
	}
}

func TestCounts_ClientsOfAllNodesAreTold(t *testing.T) {
	nodes, host := startPair(t, gateway.Config{})
	app := shop
	app.SubscriptionCounts = true
	for _, n := range nodes {
		n.tellsOf(app)
	}
	first, socket := nodes[0].connect(app)
	first.join(app, socket, "private-x", "")
	hears := func(p *peer, count string) {
		t.Helper()
		for p.finds("event", "pusher_internal:subscription_count").text("data") != `{"subscription_count":`+count+`}` {
		}
	}
	hears(first, "1")
	second, socket := nodes[1].connect(app)
	second.join(app, socket, "private-x", "")
	hears(first, "2")
	hears(second, "2")
	_ = second.conn.CloseNow() // it is open
	hears(first, "1")
	runOfficial(t, officialPackages(t), host, "counts.test.mjs")
}

func TestWebhooks_GiveUpAfterFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		hooks := &Webhooks{log: slog.New(slog.DiscardHandler), client: webhook.NewClient()}
		hooks.observe = func(_, result string) {
			if result == "dropped" {
				dropped++
			}
		}
		a := newApp(&shop)
		receiver := hooks.receiver(a, &shop, &Webhook{URL: "http://[nowhere"})
		occupied := func() gateway.Notice {
			return gateway.Notice{Event: gateway.OnChannelOccupied, Channel: "news", Time: time.Now()}
		}
		old := occupied()
		for time.Since(old.Time) < hookGivesUp {
			if receiver.Tell(t.Context(), []gateway.Notice{old}) == nil {
				t.Fatalf("given up after %v", time.Since(old.Time))
			}
			time.Sleep(30 * time.Second)
		}
		if receiver.Tell(t.Context(), []gateway.Notice{old, occupied()}) == nil {
			t.Error("a notice that is new was given up with the old one")
		}
		if err := receiver.Tell(t.Context(), []gateway.Notice{old}); err != nil || dropped != 2 {
			t.Errorf("an old notice is told again: %v; dropped %d times", err, dropped)
		}
	})
}

func TestWebhooks_AreNotAwayBecauseTheNodeStops(t *testing.T) {
	hooks := &Webhooks{log: slog.New(slog.DiscardHandler), client: webhook.NewClient()}
	hooks.observe = func(_, result string) { t.Errorf("counted: %s", result) }
	receiver := hooks.receiver(newApp(&shop), &shop, &Webhook{URL: "http://127.0.0.1:1/"})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if receiver.Tell(ctx, []gateway.Notice{{Event: gateway.OnChannelOccupied, Channel: "news", Time: time.Now()}}) == nil {
		t.Error("a notice that was not told is no error")
	}
}

func TestWebhooks_SayNothingOfWhatIsNotPushers(t *testing.T) {
	hooks := &Webhooks{log: slog.New(slog.DiscardHandler), observe: func(string, string) { t.Error("a request was sent") }}
	a := newApp(&App{ID: "1", Key: "k", Secret: "s", Prefix: "shop:"})
	receiver := hooks.receiver(a, &shop, &Webhook{URL: "http://127.0.0.1:1/"})
	published := func(channel, event string) gateway.Notice {
		return gateway.Notice{Event: gateway.OnPublished, Channel: channel, Message: &broker.Message{Channel: channel, Event: event}}
	}
	for _, n := range []gateway.Notice{
		published("shop:private-x", "said"), published("shop:news", "client-x"),
		{Event: gateway.OnMemberJoined, Channel: "shop:private-x", User: "shop:alice"},
		{Event: gateway.OnNothingRecent, Channel: "shop:news"},
		{Event: gateway.OnSessionsChanged, Channel: "shop:presence-x"},
	} {
		if err := receiver.Tell(context.Background(), []gateway.Notice{n}); err != nil {
			t.Errorf("%+v: %v", n, err)
		}
	}
	for channel, want := range map[string]bool{"shop:news": true, "shop:presence-x": true, "news": false, "@shop:alice": false, "shop:a b": false, "shop:x:y": false} {
		if receiver.Of(channel) != want {
			t.Errorf("%s is told: %v", channel, !want)
		}
	}
}
