package client_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"tidegate/gateway/client"
)

func TestSubscription_ReceivesEveryKindOfEvent(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{NoEcho: true})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c", "echo": false}, "")
	s := subscription()
	v.say(
		`{"type":"message","channel":"c","data":{"a": 1},"event":"said","user":"alice","cursor":"e:1","time":1767225600123}`,
		`{"type":"message","channel":"other","data":1}`,
		`{"type":"message","channel":"c","data":null}`,
		`{"type":"message","channel":"c","text":""}`,
		`{"type":"message","channel":"c","binary":"/w=="}`,
		`{"type":"something new","channel":"c"}`,
		`{"type":"join","channel":"c","user":"bob","info":{"n":1}}`,
		`{"type":"leave","channel":"c","user":"bob"}`,
		`{"type":"join","channel":"c","user":"eve","session":"s1"}`,
		`{"type":"leave","channel":"c","session":"s2"}`,
		`{"type":"presence_changed","channel":"c"}`,
		`{"type":"gap","channel":"c"}`,
	)
	for _, want := range []client.Event{
		client.Message{Channel: "c", Payload: []byte(`{"a": 1}`), Event: "said", User: "alice", Cursor: "e:1", Time: time.UnixMilli(1767225600123)},
		client.Message{Channel: "c", Payload: []byte("null")},
		client.Message{Channel: "c", Payload: []byte{}, Kind: client.Text},
		client.Message{Channel: "c", Payload: []byte{0xff}, Kind: client.Binary},
		client.Join{Channel: "c", User: "bob", Info: []byte(`{"n":1}`)},
		client.Leave{Channel: "c", User: "bob"},
		client.Join{Channel: "c", User: "eve", Session: "s1"},
		client.Leave{Channel: "c", Session: "s2"},
		client.PresenceChanged{Channel: "c"},
		client.Gap{Channel: "c"},
	} {
		if got := receive(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("received %#v, want %#v", got, want)
		}
	}
}

func TestSubscription_EndedByTheGateway(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	v.say(message("e:1"), `{"type":"unsubscribed","channel":"c","code":"forbidden","reason":"the rules have changed"}`)
	wantCursors(t, s, "e:1")
	var e *client.Error
	if _, err := s.Receive(t.Context()); !errors.As(err, &e) || e.Code != "forbidden" || e.Message != "the rules have changed" {
		t.Errorf("Receive = %v, want why it has ended", err)
	}
}

func TestSubscription_CloseUnsubscribes(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	if _, err := c.Subscribe(t.Context(), "c", client.SubscribeOptions{}); !errors.Is(err, client.ErrSubscribed) {
		t.Errorf("the second Subscribe: %v, want ErrSubscribed", err)
	}
	s.Close()
	s.Close()
	v.hear(object{"type": "unsubscribe", "channel": "c"})
	if _, err := s.Receive(t.Context()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Receive = %v, want ErrClosed", err)
	}

	subscription = c.subscribing("c", client.SubscribeOptions{})
	said := v.hear(object{"type": "subscribe", "channel": "c"})
	v.say(message("e:1"), reply("subscribed", said, `"channel":"c","cursor":"e:1"`), message("e:2"))
	wantCursors(t, subscription(), "e:2")
}

// A session that stayed on the channel would be among its members, and be sent its messages.
func TestSubscription_CloseUnsubscribesAgainIfItCameTooFast(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, "")
	subscription().Close()
	for range 2 {
		v.say(reply("error", v.hear(object{"type": "unsubscribe", "channel": "c"}), `"code":"rate_limited","message":"slow down"`))
	}
	said := v.hear(object{"type": "unsubscribe", "channel": "c"})
	subscription = c.subscribing("c", client.SubscribeOptions{})
	v.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:1"`)
	s := subscription()
	v.say(reply("unsubscribed", said, `"channel":"c"`), message("e:2"))
	wantCursors(t, s, "e:2")
}

func TestSubscription_EndsWithTheClient(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	c.end()
	if err := c.result(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if _, err := s.Receive(t.Context()); !errors.Is(err, client.ErrEnded) {
		t.Errorf("Receive = %v, want ErrEnded", err)
	}
	if _, err := c.Subscribe(t.Context(), "d", client.SubscribeOptions{}); !errors.Is(err, client.ErrEnded) {
		t.Errorf("Subscribe = %v, want ErrEnded", err)
	}
}

func TestSubscription_ResubscribeThatIsRefusedEndsIt(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	v := g.welcome()
	v.hearSubscribe(object{"channel": "c"}, "")
	s := subscription()
	v.close(1001, "")
	v = g.welcome()
	v.say(reply("error", v.hear(object{"type": "subscribe"}), `"code":"forbidden","message":"may not"`))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var e *client.Error
	if _, err := s.Receive(ctx); !errors.As(err, &e) || e.Code != "forbidden" {
		t.Errorf("Receive = %v, want forbidden", err)
	}
}

func TestClient_PresenceAndHistory(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url()})
	v := g.welcome()

	var members []client.Member
	result := later(func() (err error) { members, err = c.Presence(context.Background(), "c"); return err })
	v.say(reply("presence", v.hear(object{"type": "presence"}), `"channel":"c","members":[{"user":"alice","info":{"n":1},"sessions":2},{"user":"","session":"s1","sessions":1}]`))
	if err := await(t, result); err != nil {
		t.Fatal(err)
	}
	if want := []client.Member{{User: "alice", Info: []byte(`{"n":1}`), Sessions: 2}, {Session: "s1", Sessions: 1}}; !reflect.DeepEqual(members, want) {
		t.Errorf("Presence = %+v, want %+v", members, want)
	}

	var page client.Page
	result = later(func() (err error) { page, err = c.History(context.Background(), "c", "e:3", 50); return err })
	said := v.hear(object{"type": "history", "cursor": "e:3", "limit": 50.0})
	v.say(reply("history", said, `"channel":"c","messages":[`+message("e:7")+`],"cursor":"e:7","recovered":false`))
	if err := await(t, result); err != nil {
		t.Fatal(err)
	}
	want := client.Page{Messages: []client.Message{{Channel: "c", Payload: []byte("1"), Cursor: "e:7"}}, Cursor: "e:7", Lost: true}
	if !reflect.DeepEqual(page, want) {
		t.Errorf("History = %+v, want %+v", page, want)
	}
}

// While the client moves, both links may wait for one buffer that nobody reads.
func TestClient_RunReturnsWhileTwoLinksWaitForABuffer(t *testing.T) {
	g := newFakeGateway(t)
	c := run(t, client.Config{URL: g.url(), Buffer: 1})
	subscription := c.subscribing("c", client.SubscribeOptions{})
	old := g.welcome()
	old.hearSubscribe(object{"channel": "c"}, `,"cursor":"e:0"`)
	subscription()
	old.say(message("e:1"), `{"type":"reconnect","within":0}`)
	next := g.welcome()
	next.hearSubscribe(object{"cursor": "e:1"}, `,"cursor":"e:1","recovered":false`)
	next.awaitBusy()
	old.say(message("e:2"))
	old.awaitBusy()
	c.end()
	if err := c.result(); err != nil {
		t.Error(err)
	}
}
