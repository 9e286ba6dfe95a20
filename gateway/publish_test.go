package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestPublish_LeavesOutASessionOnAnyNode(t *testing.T) {
	members := startCluster(t, 2, gateway.Config{PresenceLease: never})
	left := members[1].connect(gateway.Hello{Session: "123.456"})
	other := members[1].connect(gateway.Hello{})
	for _, p := range []*peer{left, other} {
		p.subscribe("chat")
	}
	_, err := members[0].Publish(t.Context(), &backend, gateway.Publish{
		Channel: "chat", Payload: []byte("others"), Kind: broker.Text, Except: "123.456",
	})
	must(t, err)
	members[0].publish("chat", "all")
	for p, want := range map[*peer][]string{left: {"all"}, other: {"others", "all"}} {
		p.expect("message chat all")
		if got := p.heardOf("chat"); !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	}

	again := members[0].connect(gateway.Hello{Protocol: words{"words"}, Session: "789.1"})
	again.send("pubexcept chat none 789.1")
	again.expect("published chat")
	again.send("subrecent chat 3")
	again.expect("message chat all")
	members[1].publish("chat", "end")
	again.expect("message chat end")
	if got := again.heardOf("chat"); !slices.Equal(got, []string{"others", "all", "end"}) {
		t.Errorf("of the history and live it heard %q", got)
	}
}

func TestPublish_NobodyIsLeftOutOfBareMessages(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Publish: rules.Anyone, Bare: true}}})
	_, err := n.Publish(t.Context(), &backend, gateway.Publish{Channel: "bare", Payload: []byte("1"), Except: "s1"})
	if gateway.ErrorOf(err).Code != gateway.BadRequest {
		t.Errorf("published, with %v", err)
	}
}

func TestPublish_WhoIsLeftOutIsNamedBriefly(t *testing.T) {
	n := startNode(t, gateway.Config{})
	c := gateway.Publish{Channel: "c", Payload: []byte("1"), Except: strings.Repeat("s", 64)}
	if cost := n.PublishCost(&c); cost.Bytes != 65 {
		t.Errorf("it costs %d bytes, want 65", cost.Bytes)
	}
	_, err := n.Publish(t.Context(), &backend, c)
	must(t, err)
	c.Except += "s"
	_, err = n.Publish(t.Context(), &backend, c)
	wantCode(t, err, gateway.BadRequest)
}

func TestOpen_TakesTheIDThatTheProtocolGives(t *testing.T) {
	n := startNode(t, gateway.Config{})
	open := func(id string) (*gateway.Session, error) {
		return n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test", Session: id})
	}
	s, err := open("123.456")
	if err != nil || s.ID() != "123.456" {
		t.Fatalf("Open = %v, %v", s, err)
	}
	defer s.End(nil)
	if _, err := open("123.456"); gateway.ErrorOf(err).Code != gateway.Unavailable {
		t.Errorf("a second session has the same id: %v", err)
	}
	for _, id := range []string{"a b", "a\n", "ä", strings.Repeat("1", 65)} {
		if _, err := open(id); gateway.ErrorOf(err).Code != gateway.BadRequest {
			t.Errorf("a session is named %q: %v", id, err)
		}
	}
}

// A client that guesses a key cannot suppress the messages of others.
func TestPublish_KeysOfOneAreNotThoseOfAnother(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10}}})
	first := make(map[string]broker.Position)
	for _, by := range []gateway.Principal{{User: "ann"}, {User: "bob"}, {}, backend} {
		for _, text := range []string{"first", "again"} {
			at, err := n.Publish(t.Context(), &by, gateway.Publish{Channel: "orders", Payload: []byte(text), Kind: broker.Text, Key: "order-7"})
			must(t, err)
			for other, taken := range first {
				if (other == by.User+by.Key) != (taken == at) {
					t.Errorf("%q and %q have the cursors %v and %v for one key", other, by.User+by.Key, taken, at)
				}
			}
			first[by.User+by.Key] = at
		}
	}
	page, err := n.ReadHistory(t.Context(), &backend, gateway.History{Channel: "orders"})
	must(t, err)
	if len(page.Messages) != 4 {
		t.Errorf("the history has %d messages, want one of each", len(page.Messages))
	}
}
