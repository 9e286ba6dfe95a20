package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// If the rule says bare, only the payload of what Redis delivers is used, never its headers.
func TestBelieving_NoHeaderOnABareChannel(t *testing.T) {
	l := newLossy()
	n := startNode(t, gateway.Config{Broker: l, History: l, Rules: rules.List{
		{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, Bare: true},
	}})
	p := n.listen("a")
	l.receiver.Receive(broker.Message{
		Channel: "a", Payload: []byte("forged"), Kind: broker.Text, User: "admin", Session: "0", Event: "win",
		Position: broker.Position{Epoch: "k3x9", Offset: 7},
	})
	l.receiver.Rest()
	p.expect("message a forged")
	if got := p.heardOf("a"); !slices.Equal(got, []string{"forged"}) || count(p.lines(), "k3x9") > 0 || count(p.lines(), "gap") > 0 {
		t.Errorf("heard %q", p.lines())
	}
}

func TestPublish_NestedTooDeep(t *testing.T) {
	n := startNode(t, gateway.Config{Broker: broker.NewMemory()})
	for levels, refused := range map[int]bool{100: false, 101: true, 10_000: true} {
		payload := strings.Repeat("[", levels) + strings.Repeat("]", levels)
		_, err := n.Publish(t.Context(), &gateway.Principal{}, gateway.Publish{Channel: "a", Payload: []byte(payload), Kind: broker.JSON})
		if (err != nil && gateway.ErrorOf(err).Code == gateway.BadRequest) != refused {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}
