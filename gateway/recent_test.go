package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestRecent_TheLastMessagesComeBeforeWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5, gateway.Limits{})
		var sixth broker.Position
		for i := 1; i <= 9; i++ {
			if at := n.publish("kept:a", "%d", i); i == 6 {
				sixth = at
			}
		}
		for _, c := range []struct{ command, want string }{
			{"subrecent kept:a 0", "after=9"},
			{"subrecent kept:a 1", "after=8 9"},
			{"subrecent kept:a 3", "after=6 7 8 9"},
			{"subrecent kept:a 100", "after=4 5 6 7 8 9"}, // as many as there are
			{"subrecent kept:a -1", "after=9"},
			{"subrecent kept:a 1 " + sixth.String(), "after=6 7 8 9"}, // the cursor takes precedence
			{"subrecent plain 3", "after=0"},
		} {
			p := n.connect(gateway.Hello{Protocol: words{"exact"}})
			p.send("%s", c.command)
			channel := strings.Fields(c.command)[1]
			p.expect("subscribed " + channel)
			synctest.Wait()
			if got := said(p, channel); got != c.want {
				t.Errorf("%s: %s, want %s", c.command, got, c.want)
			}
		}
	})
}

// A node buffers messages for clients that resume. But on every node the history has only what
// its rule says.
func TestRecent_IsNoMoreThanTheHistoryKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := rules.Rule{Match: "kept:*", Subscribe: rules.Anyone, HistorySize: 2, HistoryTTL: 10 * time.Second}
		n := startNode(t, gateway.Config{Rules: rules.List{rule}})
		listener := n.connect(gateway.Hello{Protocol: words{"exact"}})
		listener.send("sub kept:a") // so that the node buffers what is published
		listener.expect("subscribed kept:a")
		for i := 1; i <= 5; i++ {
			n.publish("kept:a", "%d", i)
		}
		for _, c := range []struct {
			later time.Duration
			want  string
		}{{0, "after=3 4 5"}, {9 * time.Second, "after=3 4 5"}, {2 * time.Second, "after=5"}} {
			time.Sleep(c.later)
			p := n.connect(gateway.Hello{Protocol: words{"exact"}})
			p.send("subrecent kept:a 100")
			p.expect("subscribed kept:a")
			synctest.Wait()
			if got := said(p, "kept:a"); got != c.want {
				t.Errorf("%v later: %s, want %s", c.later, got, c.want)
			}
		}
	})
}

// The node buffers what it reads for a client, too, which is older than the read.
func TestRecent_IsNoOlderThanTheHistoryKeepsHoweverLateItWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := rules.Rule{Match: "kept:*", Subscribe: rules.Anyone, HistorySize: 9, HistoryTTL: 20 * time.Second}
		n := startNode(t, gateway.Config{Rules: rules.List{rule}})
		n.publish("kept:a", "1")
		n.publish("kept:a", "2")
		for _, want := range []string{"after=0 1 2", "after=2", "after=2"} {
			time.Sleep(19 * time.Second)
			p := n.connect(gateway.Hello{Protocol: words{"exact"}})
			p.send("subrecent kept:a 100")
			p.expect("subscribed kept:a")
			synctest.Wait()
			if got := said(p, "kept:a"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// said returns where the channel begins according to the reply, and the messages.
func said(p *peer, channel string) string {
	begin, _ := strings.CutPrefix(p.expect("subscribed "+channel), "subscribed "+channel+" ")
	return strings.Join(append([]string{begin}, p.heardOf(channel)...), " ")
}

func TestRecent_WhoAsksWhileMessagesComeMissesNoneAndHearsNoneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		const before, after = 2000, 500
		n.publishMany("kept:a", before)
		p := n.connect(gateway.Hello{Protocol: words{"exact"}})
		read := p.stall()
		p.send("subrecent kept:a 1500")
		synctest.Wait() // it has been sent as much as there is room for
		for i := range after {
			n.publish("kept:a", "%d-%s", before+i, strings.Repeat("x", 500))
		}
		read()
		p.expect(fmt.Sprintf("message kept:a %d-", before+after-1))
		heard := p.heardOf("kept:a")
		for i, text := range heard {
			if !strings.HasPrefix(text, fmt.Sprintf("%d-", before-1500+i)) {
				t.Fatalf("message %d is %.10s", i, text)
			}
		}
		if len(heard) != 1500+after || count(p.lines(), "gap") > 0 {
			t.Errorf("heard %d messages, and of %d gaps", len(heard), count(p.lines(), "gap"))
		}
	})
}

func TestRecent_OpeningCommandGoesOnWhenTheSessionHasItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		for _, channel := range []string{"kept:a", "kept:b"} {
			n.publishMany(channel, 50)
		}
		s, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test", Commands: []gateway.Command{
			gateway.Subscribe{Channel: "kept:a", Recent: 40}, gateway.Subscribe{Channel: "kept:b", Recent: 40},
		}})
		must(t, err)
		time.Sleep(time.Hour) // however long it takes
		p := newPeer(t)
		served := make(chan struct{})
		go func() { defer close(served); serve(t.Context(), s, p) }()
		p.expect("message kept:a 49-")
		p.expect("message kept:b 49-")
		for _, channel := range []string{"kept:a", "kept:b"} {
			if got := len(p.heardOf(channel)); got != 40 {
				t.Errorf("heard %d messages of %s", got, channel)
			}
		}
		p.Close(gateway.Lost, nil)
		<-served
	})
}
