package pusher

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// connect connects a client of an app and returns it with its socket id.
func (n *node) connect(a App) (p *peer, socket string) {
	n.t.Helper()
	p = n.dial("/app/" + a.Key + "?protocol=7&client=js&version=8.6.0&flash=false")
	f := p.finds("event", "pusher:connection_established")
	_, socket, _ = strings.Cut(f.text("data"), `"socket_id":"`)
	socket, _, _ = strings.Cut(socket, `"`)
	if !isSocketID(socket) {
		n.t.Fatalf("the socket id is %q", socket)
	}
	return p, socket
}

// join subscribes with a signature from the app's backend.
func (p *peer) join(a App, socket, channel, data string) {
	p.t.Helper()
	auth := a.Key + ":" + sign(a.Secret, subscriptionText(socket, channel, data))
	p.say(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":%q,"auth":%q,"channel_data":%q}}`, channel, auth, data))
	p.finds("event", "pusher_internal:subscription_succeeded")
}

func TestSocket_RefusalsHavePushersCodes(t *testing.T) {
	n := startNode(t, gateway.Config{}, shop,
		App{ID: "off", Key: "off", Secret: "s", Disabled: true}, App{ID: "tls", Key: "tls", Secret: "s", TLSOnly: true},
		App{ID: "small", Key: "small", Secret: "s", Connections: 1})
	n.dial("/app/small?protocol=7").finds("event", "pusher:connection_established")
	for path, code := range map[string]websocket.StatusCode{
		"/app/nobody?protocol=7":                     4001,
		"/app/tls?protocol=7":                        4000,
		"/app/off?protocol=7":                        4003,
		"/app/small?protocol=7":                      4004,
		"/app/" + shop.Key + "/more?protocol=7":      4005,
		"/app/" + shop.Key + "?protocol=7&version=x": 4006,
		"/app/" + shop.Key + "?protocol=3":           4007,
		"/app/" + shop.Key + "?protocol=99":          4007,
		"/app/" + shop.Key + "?protocol=seven":       4007,
		"/app/" + shop.Key:                           4008,
	} {
		p := n.dial(path)
		if f := p.finds("event", "pusher:error"); fmt.Sprint(f["data"].(map[string]any)["code"]) != fmt.Sprint(int(code)) {
			t.Errorf("%s: told %v, want %d", path, f, code)
		}
		if closed := p.isClosed(); closed.Code != code || closed.Reason == "" {
			t.Errorf("%s: closed with %d %q, want %d", path, closed.Code, closed.Reason, code)
		}
	}
	for _, protocol := range []string{"5", "6", "7"} {
		n.dial("/app/"+shop.Key+"?protocol="+protocol).finds("event", "pusher:connection_established")
	}
}

// A client that has signed in is on a presence channel as that user, unless channel_data says
// otherwise. Others must have channel_data.
func TestSocket_PresenceIsTheSignedInUsersWithoutChannelData(t *testing.T) {
	for _, prefix := range []string{"", "shop:"} {
		app := shop
		app.Prefix = prefix
		config := gateway.Config{Rules: pusherRules()}
		for i := range config.Rules {
			config.Rules[i].Match = prefix + config.Rules[i].Match
		}
		n := startNode(t, config, app)
		p, socket := n.connect(app)
		subscribe := fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-x","auth":%q}}`, app.Key+":"+sign(app.Secret, socket+":presence-x"))
		p.say(subscribe)
		if f := p.finds("event", "pusher:subscription_error"); !strings.Contains(fmt.Sprint(f), "channel_data") {
			t.Errorf("before its sign-in it heard %v", f)
		}
		p.signsIn(app, socket, "erin")
		p.finds("event", "pusher:signin_success")
		p.say(subscribe)
		if f := p.finds("channel", "presence-x"); f.text("data") != `{"presence":{"ids":["erin"],"hash":{"erin":{}},"count":1}}` {
			t.Errorf("after its sign-in it heard %v", f)
		}
	}
}

func TestSocket_NodeWithoutRoomAsksClientsToComeBackLater(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{Sessions: 1}})
	first, _ := n.connect(shop)
	if closed := n.dial("/app/" + shop.Key + "?protocol=7").isClosed(); closed.Code != overCapacity {
		t.Errorf("closed with %d %q", closed.Code, closed.Reason)
	}
	_ = first.conn.CloseNow() // it is open
	brokertest.Eventually(t, "the app has no connection", func() bool {
		app, _ := n.apps.byID(shop.ID)
		return app.connections.Load() == 0
	})
	n.connect(shop)
}

// The connection of a client that does not answer pings is closed with exactly the code for
// that.
func TestSocket_SilentClientHasNotPonged(t *testing.T) {
	t.Parallel()
	n := startNode(t, gateway.Config{Ping: 4 * time.Second})
	silent, _ := n.connect(shop)
	alive, _ := n.connect(shop)
	closed := make(chan gateway.Reason)
	go func() {
		end := silent.isClosed()
		closed <- gateway.Reason{Code: int(end.Code), Text: end.Reason}
	}()
	for {
		alive.finds("event", "pusher:ping")
		alive.say(`{"event":"pusher:pong","data":{}}`)
		select {
		case end := <-closed:
			if end.Code != noPong {
				t.Errorf("closed with %d %q", end.Code, end.Text)
			}
			alive.finds("event", "pusher:ping")
			return
		default:
		}
	}
}

// Changing an app's settings keeps its connections. The new settings apply to later ones.
func TestSocket_LimitsChangeWithTheApps(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.connect(shop)
	smaller := shop
	smaller.Connections = 1
	must(t, n.apps.Set([]App{smaller}))
	if closed := n.dial("/app/" + shop.Key + "?protocol=7").isClosed(); closed.Code != overQuota {
		t.Errorf("closed with %d %q", closed.Code, closed.Reason)
	}
}

func TestSocket_TLSAtTheBalancerIsTLS(t *testing.T) {
	app := App{ID: "tls", Key: "tls", Secret: "s", TLSOnly: true}
	n := startNode(t, gateway.Config{}, app)
	options := &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-Proto": {"https"}}}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+n.host()+"/app/tls?protocol=7", options)
	must(t, err)
	defer conn.CloseNow()
	(&peer{t, conn}).finds("event", "pusher:connection_established")
}

func TestSocket_ClientEventsCanBeOff(t *testing.T) {
	quiet := shop
	quiet.NoClientEvents = true
	n := startNode(t, gateway.Config{}, quiet)
	p, socket := n.connect(quiet)
	p.join(quiet, socket, "private-x", "")
	p.say(`{"event":"client-x","channel":"private-x","data":{}}`)
	if f := p.finds("event", "pusher:error"); !strings.Contains(fmt.Sprint(f), "not enabled") {
		t.Errorf("heard %v", f)
	}
}

func TestSocket_AnswersAndErrors(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p, socket := n.connect(shop)
	for _, c := range []struct{ say, event, with string }{
		{`{"event":"pusher:ping","data":{}}`, "pusher:pong", ""},
		{`{"event":"pusher:subscribe","data":{"channel":"news"}}`, "pusher_internal:subscription_succeeded", "news"},
		{`{"event":"pusher:subscribe","data":{"channel":"private-x"}}`, "pusher:subscription_error", "401"},
		{`{"event":"pusher:subscribe","data":{"channel":"private-x","auth":"` + shop.Key + `:00"}}`, "pusher:subscription_error", "401"},
		{`{"event":"pusher:subscribe","data":{"channel":"` + strings.Repeat("x", 165) + `"}}`, "pusher:subscription_error", "164"},
		{`{"event":"pusher:subscribe","data":{"channel":"#server-to-user-7","auth":""}}`, "pusher:subscription_error", "401"},
		{`{"event":"client-x","channel":"news","data":{}}`, "pusher:error", "private and presence"},
		{`{"event":"client-x","channel":"private-x","data":{}}`, "pusher:error", "subscribe"},
		{`{"event":"client-x","channel":"private-x","data":"` + strings.Repeat("x", 10240) + `"}`, "pusher:error", "10240"},
		{`{"event":"pusher:nothing"}`, "pusher:error", "not known"},
		{`not JSON`, "pusher:error", "JSON"},
		{`{"event":"pusher:ping","data":{}}`, "pusher:pong", ""},
	} {
		p.say(c.say)
		if f := p.finds("event", c.event); !strings.Contains(fmt.Sprint(f), c.with) {
			t.Errorf("%.80s: heard %v, want it with %q", c.say, f, c.with)
		}
	}
	p.join(shop, socket, "presence-x", `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`)
	if _, answer := n.request(shop, "GET", "/apps/3/channels/presence-x/users", "", ""); answer != `{"users":[{"id":"10"}]}` {
		t.Errorf("the users are %s", answer)
	}
}

// A signature is valid for exactly one socket, one channel and one user.
func TestSocket_SignaturesAreNotTransferable(t *testing.T) {
	n := startNode(t, gateway.Config{})
	_, other := n.connect(shop)
	p, socket := n.connect(shop)
	for name, text := range map[string]string{
		"another socket":  subscriptionText(other, "presence-x", `{"user_id":"1"}`),
		"another channel": subscriptionText(socket, "presence-y", `{"user_id":"1"}`),
		"another user":    subscriptionText(socket, "presence-x", `{"user_id":"2"}`),
		"a private one":   subscriptionText(socket, "presence-x", ""),
	} {
		p.say(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-x","auth":%q,"channel_data":"{\"user_id\":\"1\"}"}}`,
			shop.Key+":"+sign(shop.Secret, text)))
		if f := p.finds("event", "pusher:subscription_error"); !strings.Contains(fmt.Sprint(f), "401") {
			t.Errorf("%s: %v", name, f)
		}
	}
}

func TestSocket_DrainAndLossesAskClientsToComeBack(t *testing.T) {
	n := startNode(t, gateway.Config{DrainWindow: time.Millisecond})
	p, _ := n.connect(shop)
	go n.Shutdown(t.Context())
	if closed := p.isClosed(); closed.Code != comeBack {
		t.Errorf("closed with %d %q", closed.Code, closed.Reason)
	}
}

// The library says once that it leaves a channel, and signs in once, however much it says at the
// same time.
func TestSocket_LeavingAndSigningInWaitForTheirTurn(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecond = 20
	n := startNode(t, gateway.Config{Limits: limits, PresenceLinger: time.Millisecond}, watching())
	watcher, other := n.connect(shop)
	watcher.join(shop, other, "presence-room", `{"user_id":"bob"}`)
	p, socket := n.connect(shop)
	p.join(shop, socket, "presence-room", `{"user_id":"alice"}`)
	watcher.finds("event", "pusher_internal:member_added")
	for i := range 25 {
		p.say(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"room-%d"}}`, i))
	}
	p.say(`{"event":"pusher:unsubscribe","data":{"channel":"presence-room"}}`)
	p.signsIn(shop, socket, "alice", many(50)...)
	p.finds("event", "pusher:signin_success")
	watcher.finds("event", "pusher_internal:member_removed")
}
