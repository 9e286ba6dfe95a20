package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/gateway/client"
)

func TestClient_LostConnectionIsResumedByCursor(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:4"`)
	s := subscription()
	v.say(message("e:5"), message("e:6"))
	wantCursors(t, s, "e:5", "e:6")
	v.close(4008, "slow consumer")

	v = g.welcome()
	v.hearSubscribe(object{"channel": "c", "cursor": "e:6"}, `,"cursor":"e:8","recovered":true`)
	v.say(message("e:6"), message("e:7"), message("e:8"), message("e:9"))
	wantCursors(t, s, "e:7", "e:8", "e:9")
}

// Before the first message, the client resumes from the cursor of the confirmation.
func TestClient_LostConnectionIsResumedBeforeTheFirstMessage(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:0"`)
	subscription()
	v.close(1011, "")
	g.welcome().hear(object{"type": "subscribe", "cursor": "e:0"})
}

func TestClient_GapIsTold(t *testing.T) {
	for name, test := range map[string]struct{ before, after string }{
		"history is too short":          {`,"cursor":"e:4"`, `,"cursor":"e:900","recovered":false`},
		"history is another":            {`,"cursor":"e:4"`, `,"cursor":"f:900","recovered":false`},
		"history is behind the cursor":  {`,"cursor":"e:4"`, `,"cursor":"e:1","recovered":false`},
		"there is no history":           {``, ``},
		"there is no history any more":  {`,"cursor":"e:4"`, `,"recovered":false`},
		"there was no history and is":   {``, `,"cursor":"e:900"`},
		"the gateway does not know why": {`,"cursor":"e:4"`, `,"cursor":"e:900"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFakeGateway(t)
			c := run(t, client.Config{URL: g.url()})
			subscription := c.subscribing("c", client.SubscribeOptions{})
			v := g.welcome()
			v.hearSubscribe(object{"channel": "c"}, test.before)
			s := subscription()
			v.close(1001, "")
			v = g.welcome()
			v.hearSubscribe(object{"channel": "c"}, test.after)
			v.say(`{"type":"message","channel":"c","data":1,"cursor":"f:901"}`, `{"type":"gap","channel":"c"}`)
			if e, ok := receive(t, s).(client.Gap); !ok {
				t.Fatalf("received %+v, want a gap", e)
			}
			wantCursors(t, s, "f:901")
			if e, ok := receive(t, s).(client.Gap); !ok {
				t.Fatalf("received %+v, want the gap that the gateway told", e)
			}
		})
	}
}

// When a gap occurs because the history starts anew, its first messages are new although
// their offsets are low.
func TestClient_NewHistoryIsReadFromItsBeginning(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{Cursor: "e:41"})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c", "cursor": "e:41"}, `,"cursor":"f:2","recovered":false`)
	s := subscription()
	v.say(message("f:1"), message("f:2"), message("f:3"))
	receive(t, s)
	wantCursors(t, s, "f:1", "f:2", "f:3")
}

// Only the gateway knows where the previous history ended. A client that is cut off again
// resumes with its old cursor.
func TestClient_LostHistoryIsAskedForFromTheSamePlaceUntilAMessageComes(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{Cursor: "e:41"})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c", "cursor": "e:41"}, `,"cursor":"f:41","recovered":false`)
	s := subscription()
	receive(t, s)
	v.close(1001, "")
	v = g.welcome()
	v.hearSubscribe(object{"channel": "c", "cursor": "e:41"}, `,"cursor":"f:42","recovered":false`)
	v.say(message("f:42"))
	receive(t, s)
	wantCursors(t, s, "f:42")
	v.close(1001, "")
	g.welcome().hear(object{"type": "subscribe", "cursor": "f:42"})
}

// Messages that the old link delivered while the new one subscribed are not delivered
// again, even if the history is too short for the cursor.
func TestClient_ReconnectIsToldOfAShortHistoryAndTellsNothingTwice(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{Cursor: "e:4"})
	old := g.welcome()
	old.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:4","recovered":true`)
	s := subscription()
	old.say(`{"type":"reconnect","within":8.5}`)
	next := g.welcome()
	said := next.hear(object{"type": "subscribe", "cursor": "e:4"})
	old.say(message("e:5"), message("e:6"), message("e:7"))
	wantCursors(t, s, "e:5", "e:6", "e:7")
	next.say(reply("subscribed", said, `"channel":"c","cursor":"e:6","recovered":false`), message("e:6"), message("e:7"), message("e:8"))
	receive(t, s)
	wantCursors(t, s, "e:8")
}

func TestClient_ReconnectIsMadeBeforeTheOldLinkEnds(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{Cursor: "e:4"})
	old := g.welcome()
	old.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:4","recovered":true`)
	s := subscription()
	old.say(message("e:5"), `{"type":"reconnect","within":8.5}`)
	wantCursors(t, s, "e:5")

	next := g.welcome()
	said := next.hear(object{"type": "subscribe", "cursor": "e:5"})
	old.say(message("e:6"))
	wantCursors(t, s, "e:6")
	next.say(reply("subscribed", said, `"channel":"c","cursor":"e:7","recovered":true`), message("e:6"), message("e:7"))
	wantCursors(t, s, "e:7")
	old.gone()
	next.say(message("e:8"))
	wantCursors(t, s, "e:8")
}

// A Close while the confirmation waits for room must not keep the old connection open.
func TestClient_ReconnectDoesNotWaitForASubscriptionThatIsClosed(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url(), Buffer: 1, AttemptTimeout: time.Hour})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	old := g.welcome()
	old.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	old.say(`{"type":"message","channel":"c","data":1}`, `{"type":"reconnect","within":0}`)
	next := g.welcome()
	next.hearSubscribe(object{"channel": "c"}, "")
	next.awaitBusy()
	s.Close()
	old.gone()
}

// Messages without cursors are not delivered twice, either: the new link may begin with
// messages that the old one delivered while the new one subscribed.
func TestClient_ReconnectTellsNothingTwiceWithoutCursors(t *testing.T) {
	plain := func(text string) string {
		return fmt.Sprintf(`{"type":"message","channel":"c","data":%q,"time":1767225600000}`, text)
	}
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	old := g.welcome()
	old.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	old.say(plain("before"), `{"type":"reconnect","within":8.5}`)
	wantTexts(t, s, "before")

	next := g.welcome()
	said := next.hear(object{"type": "subscribe"})
	old.say(plain("one"), plain("two"), plain("two"))
	wantTexts(t, s, "one", "two", "two")
	next.say(reply("subscribed", said, `"channel":"c"`), plain("two"), plain("two"), plain("two"), plain("three"), plain("one"))
	if _, is := receive(t, s).(client.Gap); !is {
		t.Error("it does not say that messages may have been missed")
	}
	wantTexts(t, s, "two", "three", "one")
}

func wantTexts(t *testing.T, s *client.Subscription, want ...string) {
	t.Helper()
	for _, text := range want {
		if m, is := receive(t, s).(client.Message); !is || string(m.Payload) != strconv.Quote(text) {
			t.Errorf("received %+v, want %q", m, text)
		}
	}
}

func TestClient_UnansweredPublishIsSentAgainWithItsKey(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	var cursor string
	result := later(func() (err error) {
		cursor, err = c.Publish(context.Background(), client.Message{Channel: "c", Payload: []byte(`{"a":[1,2]}`)})
		return err
	})
	v := g.welcome()
	first := v.hear(object{"type": "publish", "channel": "c"})
	if first["key"] == nil {
		t.Fatalf("%v has no key", first)
	}
	v.close(1001, "")
	v = g.welcome()
	v.say(reply("published", v.hear(object{"type": "publish", "key": first["key"]}), `"cursor":"e:9"`))
	if err := await(t, result); err != nil || cursor != "e:9" {
		t.Errorf("Publish = %q, %v; want e:9", cursor, err)
	}
}

func TestClient_UnansweredPublishesKeepTheirOrder(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	var publications []*client.Publication
	for i := range 50 {
		p, err := c.Begin(client.Message{Channel: "c", Kind: client.Text, Payload: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		publications = append(publications, p)
	}
	v := g.welcome()
	v.hear(object{"text": "0"})
	v.close(1001, "")
	v = g.welcome()
	for i := range publications {
		v.say(reply("published", v.hear(object{"text": fmt.Sprint(i)}), fmt.Sprintf(`"cursor":"e:%d"`, i)))
	}
	for i, p := range publications {
		if cursor, err := p.Wait(t.Context()); err != nil || cursor != fmt.Sprintf("e:%d", i) {
			t.Errorf("publication %d: cursor %q, %v", i, cursor, err)
		}
	}
}

func TestClient_TemporaryRefusalIsTriedAgain(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{Cursor: "e:1"})
	v := g.welcome()
	v.say(reply("error", v.hear(object{"type": "subscribe"}), `"code":"unavailable","message":"no broker"`))
	v.hearSubscribe(object{"cursor": "e:1"}, `,"cursor":"e:1","recovered":true`)
	subscription()

	result := later(func() error {
		_, err := c.Publish(context.Background(), client.Message{Channel: "c", Kind: client.Binary, Payload: []byte{0xff}})
		return err
	})
	first := v.hear(object{"type": "publish", "binary": "/w=="})
	v.say(reply("error", first, `"code":"rate_limited","message":"slow down"`))
	v.say(reply("published", v.hear(object{"type": "publish", "key": first["key"], "id": first["id"]}), `"cursor":""`))
	if err := await(t, result); err != nil {
		t.Error(err)
	}
}

func TestClient_RefusedCommandsFail(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	v := g.welcome()
	const refusal = `"code":"forbidden","message":"may not"`
	for name, do := range map[string]func(context.Context) error{
		"publish": func(ctx context.Context) error {
			_, err := c.Publish(ctx, client.Message{Channel: "c", Payload: []byte("1")})
			return err
		},
		"subscribe": func(ctx context.Context) error {
			_, err := c.Subscribe(ctx, "c", client.SubscribeOptions{})
			return err
		},
		"presence": func(ctx context.Context) error { _, err := c.Presence(ctx, "c"); return err },
		"history":  func(ctx context.Context) error { _, err := c.History(ctx, "c", "", 0); return err },
	} {
		result := later(func() error { return do(context.Background()) })
		v.say(reply("error", v.hear(object{"type": name, "channel": "c"}), refusal))
		var e *client.Error
		if err := await(t, result); !errors.As(err, &e) || e.Code != "forbidden" || e.Message != "may not" {
			t.Errorf("%s: %v, want a *client.Error that is forbidden", name, err)
		}
	}
}

func TestClient_EndOfContextTellsTheLastAnswer(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	v := g.welcome()
	ctx, cancel := context.WithCancel(context.Background())
	result := later(func() error {
		_, err := c.Publish(ctx, client.Message{Channel: "c", Payload: []byte("1")})
		return err
	})
	for range 2 { // the second call shows that the refusal has arrived
		v.say(reply("error", v.hear(object{"type": "publish"}), `"code":"unavailable","message":"no broker"`))
	}
	cancel()
	if err := await(t, result); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no broker") {
		t.Errorf("Publish: %v, want the end of the context and the last answer", err)
	}
}

func TestClient_PayloadThatIsNotJSONIsRefusedAtOnce(t *testing.T) {
	c := client.New(client.Config{})
	if _, err := c.Publish(t.Context(), client.Message{Channel: "c", Payload: []byte("{")}); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("Publish: %v", err)
	}
}

func TestClient_TooLargeFrameFailsAndIsNotSentAgain(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	v := g.welcome()
	small, _ := c.Begin(client.Message{Channel: "c", Payload: []byte("1")})
	large, _ := c.Begin(client.Message{Channel: "c", Payload: []byte(`"` + strings.Repeat("x", 1000) + `"`)})
	v.hear(object{"type": "publish"})
	v.hear(object{"type": "publish"})
	v.close(1009, "the frame is larger than allowed")
	var e *client.Error
	if _, err := large.Wait(t.Context()); !errors.As(err, &e) || e.Code != "too_large" {
		t.Errorf("the large one: %v, want too_large", err)
	}
	v = g.welcome()
	v.say(reply("published", v.hear(object{"type": "publish", "data": 1.0}), `"cursor":"e:1"`))
	if cursor, err := small.Wait(t.Context()); err != nil || cursor != "e:1" {
		t.Errorf("the small one: %q, %v; want e:1", cursor, err)
	}
}

func TestClient_CloseCodes(t *testing.T) {
	for _, test := range []struct {
		code   int
		reason string
		final  bool
	}{
		{4001, "authentication failed", true},
		{4009, "disconnected by the backend", true},
		{1008, "not allowed", true},
		{1008, "no sign of life", false},
		{1000, "", false},
		{1001, "drain", false},
		{1011, "internal error", false},
		{4002, "the token has expired", false},
		{4008, "slow consumer", false},
		{4010, "gap", false},
	} {
		t.Run(fmt.Sprint(test.code, " ", test.reason), func(t *testing.T) {
			g := newFakeGateway(t)
			c := run(t, client.Config{URL: g.url()})
			g.welcome().close(test.code, test.reason)
			if !test.final {
				g.welcome()
				return
			}
			var refusal *client.Refusal
			if err := c.result(); !errors.As(err, &refusal) || refusal.Code != test.code || refusal.Reason != test.reason {
				t.Errorf("Run = %v, want the refusal", err)
			}
			if _, err := c.Publish(t.Context(), client.Message{Channel: "c", Payload: []byte("1")}); !errors.Is(err, client.ErrEnded) || !errors.As(err, &refusal) {
				t.Errorf("Publish = %v, want ErrEnded because of the refusal", err)
			}
		})
	}
}

func TestClient_TokenIsAskedForEachConnection(t *testing.T) {
	g := newFakeGateway(t)
	var asked atomic.Int64
	run(t, client.Config{URL: g.url(), Token: func(context.Context) (string, error) {
		return fmt.Sprint("token-", asked.Add(1)), nil
	}})
	for i := range 2 {
		v := g.welcome()
		if got, want := v.header.Get("Authorization"), fmt.Sprint("Bearer token-", i+1); got != want {
			t.Errorf("Authorization: %s, want %s", got, want)
		}
		v.close(4002, "the token has expired")
	}
}

func TestClient_RefusedHandshakes(t *testing.T) {
	for status, final := range map[int]bool{400: true, 401: true, 403: true, 404: true, 429: false, 500: false, 503: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				fmt.Fprint(w, `{"error":{"code":"some","message":"because"}}`)
			}))
			defer server.Close()
			c := run(t, client.Config{URL: server.URL})
			if !final {
				for range 3 {
					if err := <-c.links; err == nil || !strings.Contains(err.Error(), "because") {
						t.Errorf("told %v, want the reason", err)
					}
				}
				return
			}
			var refusal *client.Refusal
			if err := c.result(); !errors.As(err, &refusal) || refusal.Code != status || refusal.Reason != "because" {
				t.Errorf("Run = %v, want the refusal", err)
			}
		})
	}
}

func TestClient_SilentGatewayIsLeft(t *testing.T) {
	g := newFakeGateway(t)
	run(t, client.Config{URL: g.url()})
	v := g.visit()
	v.say(`{"type":"welcome","session":"s","node":"n","ping":0.05}`)
	v.hear(object{"type": "ping"})
	g.welcome()
}

func TestClient_NothingIsDroppedWhereTheReaderIsSlow(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url(), Buffer: 1})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.visit()
	v.say(`{"type":"welcome","session":"s","node":"n","ping":0.5}`)
	v.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	const count = 1000
	for i := range count {
		v.say(fmt.Sprintf(`{"type":"message","channel":"c","data":%d}`, i))
	}
	v.hear(object{"type": "ping"}) // it is alive although it does not read
	v.hear(object{"type": "ping"})
	for i := range count {
		if m, ok := receive(t, s).(client.Message); !ok || string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("received %+v, want message %d", m, i)
		}
	}
}

// A link that has ended stays the current one until there is another, but takes no commands.
func TestClient_SendsNothingOnALinkThatHasEnded(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	old := g.welcome()
	old.say(`{"type":"reconnect","within":0}`)
	g.visit() // which is never welcomed
	old.close(1001, "")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for deadline := time.Now().Add(patience); ; {
		_, err := c.Publish(over, client.Message{Channel: "c", Payload: []byte("1")})
		if strings.HasPrefix(err.Error(), "not connected") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Publish: %v, want that it is not connected", err)
		}
	}
}

// The gateway would take neither as it is meant: invalid UTF-8 would change on its way.
func TestClient_PayloadsAreSentAsTheyAreOrRefusedAtOnce(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	if _, err := c.Begin(client.Message{Channel: "c", Kind: client.Text, Payload: []byte{0xff}}); err == nil {
		t.Error("a text that is not UTF-8 is accepted")
	}
	result := later(func() error {
		_, err := c.Publish(context.Background(), client.Message{Channel: "c", Kind: client.Binary})
		return err
	})
	v := g.welcome()
	v.say(reply("published", v.hear(object{"type": "publish", "binary": ""}), `"cursor":""`))
	if err := await(t, result); err != nil {
		t.Error(err)
	}
}
