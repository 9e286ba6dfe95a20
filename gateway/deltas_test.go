package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// heardByDeltas returns the payloads that a peer with deltas has received on a channel, and
// marks those sent in full. Each difference must be relative to the message that the peer
// has received last since the reply.
func (p *peer) heardByDeltas(channel string) (payloads []string) {
	p.t.Helper()
	last := ""
	for _, line := range p.lines() {
		word := strings.Fields(line)
		switch {
		case len(word) < 2 || word[1] != channel:
		case word[0] == "subscribed":
			last = ""
		case word[0] == "message" && word[3] == "in":
			last = word[2]
			payloads = append(payloads, "*"+last)
		case word[0] == "message":
			if word[3] != "after" || word[4] != last {
				p.t.Errorf("%q came after %q", line, last)
			}
			last = word[2]
			payloads = append(payloads, last)
		}
	}
	return payloads
}

func (p *peer) expectDeltas(channel string, want ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the messages %v", want), func() bool { return len(p.heardByDeltas(channel)) >= len(want) })
	if got := p.heardByDeltas(channel); !slices.Equal(got, want) {
		p.t.Errorf("heard %v, want %v", got, want)
	}
}

// connectDeltas returns a peer that is subscribed to a channel with deltas.
func (n *node) connectDeltas(channel string) *peer {
	n.t.Helper()
	p := n.connect(gateway.Hello{})
	p.send("subdeltas %s", channel)
	p.expect("subscribed " + channel)
	return p
}

func TestDeltas_TheFirstMessageIsToldInFull(t *testing.T) {
	n := startNode(t, gateway.Config{})
	plain := n.listen("chat")
	early := n.connectDeltas("chat")
	n.publish("chat", "1")
	n.publish("chat", "2")
	late := n.connectDeltas("chat")
	n.publish("chat", "3")
	n.publish("chat", "4")
	early.expectDeltas("chat", "*1", "2", "3", "4")
	late.expectDeltas("chat", "*3", "4")
	plain.expect("message chat 4")
	if got := plain.heardOf("chat"); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("without deltas: heard %v", got)
	}
}

func TestDeltas_WhoWasNotToldAMessageIsToldTheNextInFull(t *testing.T) {
	n := startNode(t, gateway.Config{})
	quiet := n.connect(gateway.Hello{})
	quiet.send("subquietdeltas chat")
	quiet.expect("subscribed")
	other := n.connectDeltas("chat")
	excepted := n.connect(gateway.Hello{Session: "excepted"})
	excepted.send("subdeltas chat")
	excepted.expect("subscribed")
	n.publish("chat", "1")
	n.publish("chat", "2")
	other.send("pubexcept chat 3 excepted")
	other.expect("published")
	n.publish("chat", "4")
	quiet.send("pub chat 5")
	quiet.expect("published")
	n.publish("chat", "6")
	n.publish("chat", "7")
	other.expectDeltas("chat", "*1", "2", "3", "4", "5", "6", "7")
	excepted.expectDeltas("chat", "*1", "2", "*4", "5", "6", "7")
	quiet.expectDeltas("chat", "*1", "2", "3", "4", "*6", "7")
}

func TestDeltas_GoOnAfterWhatWasMissed(t *testing.T) {
	n := startNode(t, gateway.Config{})
	first := n.publish("chat", "1")
	n.publish("chat", "2")
	n.publish("chat", "3")
	for range 2 {
		p := n.connect(gateway.Hello{})
		p.send("subdeltas chat %s", first)
		p.expectDeltas("chat", "*2", "3")
	}
	p := n.connect(gateway.Hello{})
	p.send("subdeltas chat %s", first)
	p.expectDeltas("chat", "*2", "3")
	n.publish("chat", "4")
	n.publish("chat", "5")
	p.expectDeltas("chat", "*2", "3", "*4", "5")
	p.send("subdeltas chat %s", first)
	p.expectDeltas("chat", "*2", "3", "*4", "5", "*2", "3", "4", "5")
}

func TestDeltas_ComeAndGoWithASubscribe(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connectDeltas("chat")
	n.publish("chat", "1")
	n.publish("chat", "2")
	p.expectDeltas("chat", "*1", "2")
	p.send("subdeltas chat")
	p.until("the second reply", func() bool { return count(p.lines(), "subscribed chat") == 2 })
	n.publish("chat", "3")
	p.expectDeltas("chat", "*1", "2", "*3")
	p.send("sub chat")
	p.until("the third reply", func() bool { return count(p.lines(), "subscribed chat") == 3 })
	n.publish("chat", "4")
	p.expect("message chat 4 ")
	if last := p.lines()[len(p.lines())-1]; strings.HasSuffix(last, "full") || strings.Contains(last, "after") {
		t.Errorf("without deltas: %q", last)
	}
}

// A message that waits for a slow peer may be replaced by a later one.
func TestDeltas_OfAConflatedChannelAreToldInFull(t *testing.T) {
	conflated := rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}
	n := startNode(t, gateway.Config{Rules: conflated})
	p := n.connectDeltas("ticker")
	resume := p.stall()
	for i := range 100 {
		n.publish("ticker", "%d", i)
	}
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Anyone}}))
	n.publish("ticker", "on")
	n.publish("ticker", "end")
	resume()
	p.expect("message ticker 99")
	p.expect("message ticker end")
	for _, payload := range p.heardByDeltas("ticker") {
		if !strings.HasPrefix(payload, "*") {
			t.Errorf("%s was told as what differs", payload)
		}
	}
}

// If a client subscribes again while it stalls, messages that wait for it are still replaced,
// and it receives the very last message, whatever the rule says by then.
func TestDeltas_OfAConflatedChannelAreToldInFullToWhoSubscribesAnew(t *testing.T) {
	conflated := rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, Conflate: true}}
	for name, anew := range map[string]func(p *peer){
		"in place": func(p *peer) { p.send("subdeltas ticker") },
		"after it has left": func(p *peer) {
			p.send("unsub ticker")
			p.send("subdeltas ticker")
		},
	} {
		for _, after := range []rules.List{conflated, {{Match: "*", Subscribe: rules.Anyone}}} {
			t.Run(fmt.Sprintf("%s, conflated %v", name, after[0].Conflate), func(t *testing.T) {
				n := startNode(t, gateway.Config{Rules: conflated})
				p := n.connectDeltas("ticker")
				n.publish("ticker", "0")
				p.expectDeltas("ticker", "*0")
				other := n.listen("done")
				resume := p.stall()
				for i := range 50 {
					n.publish("ticker", "%d", 1+i)
				}
				anew(p)
				p.send("pub done 1")
				other.expect("message done 1")
				for i := range 50 {
					n.publish("ticker", "%d", 51+i)
				}
				must(t, n.SetRules(after))
				n.publish("ticker", "101")
				n.publish("ticker", "102")
				resume()
				p.expect("message ticker 102")
				heard := p.heardByDeltas("ticker")
				if !slices.IsSortedFunc(heard, byNumber) || byNumber(heard[len(heard)-1], "102") != 0 {
					t.Errorf("heard %v", heard)
				}
			})
		}
	}
}

func byNumber(a, b string) int {
	number := func(payload string) (n int) {
		_, _ = fmt.Sscan(strings.TrimPrefix(payload, "*"), &n)
		return n
	}
	return number(a) - number(b)
}

func TestDeltas_ReachASlowClientInOrder(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connectDeltas("chat")
	resume := p.stall()
	want := []string{"*0"}
	for i := range 300 {
		n.publish("chat", "%d", i)
		if i > 0 {
			want = append(want, fmt.Sprint(i))
		}
	}
	resume()
	p.expectDeltas("chat", want...)
}

func TestDeltas_OutliveGapsAndRepetitions(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	kept, live := n.connectDeltas("kept:a"), n.connectDeltas("a")
	say := func(text string) { n.publish("kept:a", "%s", text); n.publish("a", "%s", text) }
	say("1")
	l.repeating.Store(true)
	say("2")
	l.repeating.Store(false)
	l.losing.Store(true)
	say("3")
	say("4")
	l.losing.Store(false)
	say("5")
	say("6")
	kept.expectDeltas("kept:a", "*1", "2", "3", "4", "5", "6")
	live.expectDeltas("a", "*1", "2", "2", "5", "6") // the message 5 that it gets is the difference from 2
}

// A message outside the history is delivered in between those inside. A client that recovers
// gets neither that message nor a difference from it.
func TestDeltas_OfTheSameMessageDifferFromWhatEachWasTold(t *testing.T) {
	n := startNode(t, gateway.Config{})
	live := n.connectDeltas("chat")
	first := n.publish("chat", "1")
	n.publish("chat", "2")
	if _, err := n.Publish(t.Context(), &backend, gateway.Publish{Channel: "chat", Payload: []byte("typing"), Kind: broker.Text, Transient: true}); err != nil {
		t.Fatal(err)
	}
	n.publish("chat", "3")
	live.expectDeltas("chat", "*1", "2", "typing", "3")
	late := n.connect(gateway.Hello{})
	late.send("subdeltas chat %s", first)
	late.expectDeltas("chat", "*2", "3")
}
