package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestPublish_TransientGoesIntoNoHistory(t *testing.T) {
	n, l := startLossy(t, 5, gateway.Limits{})
	p := n.listen("kept:a")
	position, err := n.Publish(t.Context(), &backend, gateway.Publish{Channel: "kept:a", Payload: []byte("typing"), Transient: true})
	if err != nil || !position.IsZero() {
		t.Errorf("published at %v, %v", position, err)
	}
	p.expect("message kept:a typing")
	if page, err := l.Latest(t.Context(), "kept:a", broker.Most{Messages: 5}); err != nil || len(page.Messages) > 0 {
		t.Errorf("the history has %d messages, %v", len(page.Messages), err)
	}
}

func TestPublish_TransientThatMayBeMissedIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5, gateway.Limits{})
		p := n.listen("kept:a")
		transient := gateway.Publish{Channel: "kept:a", Payload: []byte("typing"), Transient: true}
		if _, err := n.Publish(t.Context(), &backend, transient); err != nil {
			t.Fatal(err)
		}
		n.publish("kept:a", "1")
		p.expect("message kept:a 1")
		l.Gap([]string{"kept:a"}, errCut)
		time.Sleep(time.Minute)
		if got := count(p.lines(), "gap kept:a"); got != 0 {
			t.Errorf("told %d gaps, though the history has all that it should", got)
		}
	})
}

func TestAuthorize_SubscribersMayPublish(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Subscribers}}})
	p := n.connectAs("alice")
	p.send("pub chat early")
	p.expect("error forbidden")
	p.subscribe("chat")
	p.send("pub chat now")
	p.expect("message chat now")
	p.send("pub other now")
	p.expect("error forbidden")
	p.send("unsub chat")
	p.expect("unsubscribed chat")
	p.send("pub chat late")
	p.until("three refusals", func() bool { return count(p.lines(), "error forbidden") == 3 })

	user := gateway.Principal{User: "alice"}
	_, err := n.Publish(t.Context(), &user, gateway.Publish{Channel: "chat", Payload: []byte("by HTTP")})
	wantCode(t, err, gateway.Forbidden)
	_, err = n.Publish(t.Context(), &gateway.Principal{}, gateway.Publish{Channel: "chat", Payload: []byte("by HTTP")})
	wantCode(t, err, gateway.Unauthenticated)
	wantCode(t, n.MayPublish(&user), gateway.Forbidden)
	n.publish("chat", "backends may")
}

func TestSession_HasARateOfItsOwnForPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		p := n.connect(gateway.Hello{Publishes: 10})
		for range 12 {
			p.send("pub chat x")
		}
		p.send("ping")
		p.expect("pong")
		if got := count(p.lines(), "error rate_limited"); got != 2 {
			t.Errorf("%d of 12 publishes were refused, want 2", got)
		}
		time.Sleep(time.Second)
		p.send("pub chat x")
		p.expect("published")
	})
}

func TestRules_SubscribersIsForPublish(t *testing.T) {
	err := rules.List{{Match: "*", Subscribe: rules.Subscribers}}.Validate()
	if err == nil {
		t.Error("subscribe: subscribers is valid")
	}
	if err := (rules.List{{Match: "*", Publish: rules.Subscribers}}).Validate(); err != nil {
		t.Error(err)
	}
}
