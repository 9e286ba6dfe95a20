package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
	"tidegate/gateway/rules"
)

func TestSpending_ARateHoldsOverAllSessionsOfAUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 10}})
		alice := gateway.Hello{Principal: gateway.Principal{User: "alice"}}
		one, two, other := n.connect(alice), n.connect(alice), n.connect(gateway.Hello{})
		for range 6 {
			one.send("ping")
			two.send("ping")
			other.send("ping")
		}
		synctest.Wait()
		if got := count(one.lines(), "pong") + count(two.lines(), "pong"); got != 10 {
			t.Errorf("%d commands of alice's two sessions passed, want the 10 of one second", got)
		}
		if got := count(other.lines(), "pong"); got != 6 {
			t.Errorf("%d of 6 commands of another client passed", got)
		}
		if err := n.Budget.Spend(&gateway.Principal{User: "alice"}, "", rates.Cost{Commands: 1}); gateway.ErrorOf(err).Code != gateway.RateLimited {
			t.Errorf("her request over HTTP: %v", err)
		}
	})
}

// A client that always asks for as much as it may could never renew its token.
func TestSpending_ATokenIsRenewedWhateverElseIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 10}})
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
		for range 10 {
			p.send("ping")
		}
		for range 3 {
			p.send("auth")
		}
		p.send("ping")
		time.Sleep(time.Second)
		synctest.Wait()
		if lines := p.lines(); count(lines, "welcome alice") != 4 || count(lines, "error rate_limited") != 1 {
			t.Errorf("heard %q, want that only the last ping is refused", lines)
		}
	})
}

// Many clients at one address may sign in at once, such as when their node has crashed. Those that
// wait for their turn have asked in time.
func TestSpending_ASignInThatWaitsIsNotTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{NoAnonymous: true, Auth: names{}, Limits: gateway.Limits{CommandsPerSecondPerIP: 1}})
		var all []*peer
		for range 30 {
			p := n.connect(gateway.Hello{AuthLater: true, Remote: "192.0.2.1:7"})
			p.send("auth alice")
			all = append(all, p)
		}
		for _, p := range all {
			p.expect("welcome alice")
		}
	})
}

// A list of members costs the node more than other answers: it reads and writes each of them.
func TestSpending_LongListsOfMembersCostMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 10}})
		for i := range 3000 {
			_, err := n.Open(t.Context(), gateway.Hello{
				Protocol: words{"words"}, Transport: "test", Principal: gateway.Principal{User: fmt.Sprint("user", i)},
				Commands: []gateway.Command{gateway.Subscribe{Channel: "crowd"}},
			})
			must(t, err)
		}
		p := n.connect(gateway.Hello{})
		for range 8 {
			p.send("presence crowd")
		}
		synctest.Wait()
		lists := slices.DeleteFunc(slices.Clone(p.lines()), func(line string) bool { return !strings.HasPrefix(line, "gateway.Members ") })
		if got := len(lists); got != 3 {
			t.Errorf("%d lists of 3000 members were sent, with 10 commands a second, want 3", got)
		}
		other := &gateway.Principal{User: "other"}
		n.Budget.OweMembers(other, "", 20_000)
		if err := n.Budget.Spend(other, "", rates.Cost{Commands: 1}); gateway.ErrorOf(err).Code != gateway.RateLimited {
			t.Errorf("a request after a list of 20,000 members: %v, want it refused", err)
		}
	})
}

func TestSpending_BytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{BytesPerSecond: 4000}})
		p := n.connect(gateway.Hello{})
		for range 4 {
			p.send("pub chat %s", strings.Repeat("x", 1600))
		}
		synctest.Wait()
		if ok, refused := count(p.lines(), "published chat"), count(p.lines(), "error rate_limited"); ok != 2 || refused != 2 {
			t.Errorf("%d published and %d refused, of 4 that take 6,400 bytes, with 4,000 a second", ok, refused)
		}
	})
}

func TestSpending_BytesOfCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{BytesPerSecond: 4000}})
		p := n.connect(gateway.Hello{})
		for range 4 {
			p.send("call m %s", strings.Repeat("x", 1600))
		}
		synctest.Wait()
		if passed, refused := count(p.lines(), "error not_found"), count(p.lines(), "error rate_limited"); passed != 2 || refused != 2 {
			t.Errorf("%d calls passed and %d were refused, of 4 that take 6,400 bytes, with 4,000 a second", passed, refused)
		}
	})
}

func TestSpending_ClientsOfOneAddressShareABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecondPerIP: 10}})
		near := []*peer{n.connect(gateway.Hello{Remote: "192.0.2.1:1"}), n.connect(gateway.Hello{Remote: "192.0.2.1:2"})}
		far := n.connect(gateway.Hello{Remote: "192.0.2.2:1"})
		for range 8 {
			near[0].send("ping")
			near[1].send("ping")
			far.send("ping")
		}
		synctest.Wait()
		if got := count(near[0].lines(), "pong") + count(near[1].lines(), "pong"); got != 10 {
			t.Errorf("%d commands from one address passed, want 10", got)
		}
		if got := count(far.lines(), "pong"); got != 8 {
			t.Errorf("%d of 8 commands from another address passed", got)
		}
		if err := n.Budget.Spend(&gateway.Principal{User: "carol"}, "192.0.2.1:3", rates.Cost{Commands: 1}); gateway.ErrorOf(err).Code != gateway.RateLimited {
			t.Errorf("a request from there: %v", err)
		}
	})
}

// A stream or a poll names its channels when it opens, and resumes some of them later.
func TestSpending_EachChannelOfAPollCostsItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecondPerIP: 100}})
		poll := func(remote string) error {
			hello := gateway.Hello{Alone: true, Remote: remote}
			for i := range 30 {
				hello.Channels = append(hello.Channels, fmt.Sprint("channel", i))
			}
			_, err := n.tryConnect(hello)
			return err
		}
		for range 3 {
			must(t, poll("192.0.2.1:1"))
		}
		if err := poll("192.0.2.1:1"); gateway.ErrorOf(err).Code != gateway.RateLimited {
			t.Errorf("120 channels, with 100 commands a second: %v", err)
		}
		must(t, poll("192.0.2.2:1"))
		time.Sleep(time.Second)
		must(t, poll("192.0.2.1:1"))
	})
}

func TestSpending_KeysOfANodeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{KeysPerSecond: 10}})
		spend := func(p *gateway.Principal, key string) (passed int) {
			cost := n.PublishCost(&gateway.Publish{Channel: "a", Key: key})
			for i := range 20 {
				if n.Budget.Spend(p, fmt.Sprintf("192.0.2.%d:1", i), cost) == nil {
					passed++
				}
			}
			return passed
		}
		for range 2 {
			if got := spend(&gateway.Principal{}, "k"); got != 10 {
				t.Errorf("%d of 20 publishes with a key passed, with 10 a second", got)
			}
			if got := spend(&gateway.Principal{}, ""); got != 20 {
				t.Errorf("%d of 20 publishes without a key passed", got)
			}
			if got := spend(&gateway.Principal{Key: "shop"}, "k"); got != 20 {
				t.Errorf("%d of 20 publishes of a backend passed", got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestSpending_NewChannelsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 100, ChannelsPerSession: 20}})
		p := n.connect(gateway.Hello{})
		published := func() int { return publishedBy(p) }
		for range 2 {
			for i := range 500 {
				p.send("pub chat:%d-%d hello", time.Now().UnixNano(), i)
				time.Sleep(10 * time.Millisecond)
			}
		}
		synctest.Wait()
		if got := published(); got < 20+90 || got > 20+110 {
			t.Errorf("%d publishes to 1,000 new channels in 10 s passed, want the first 20 and 10 a second", got)
		}
		before := published()
		for range 50 {
			p.send("pub again hello")
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := published() - before; got != 50 {
			t.Errorf("%d of 50 publishes to one channel passed", got)
		}
	})
}

func publishedBy(p *peer) (n int) {
	for _, line := range p.lines() {
		if strings.HasPrefix(line, "published ") {
			n++
		}
	}
	return n
}

// A client cannot get more by returning again and again without a name.
func TestSpending_NewChannelsOfAnAddressAndOfTheNodeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{
			Rules:  rules.List{{Match: "plain:*", Subscribe: rules.Anyone, Publish: rules.Anyone}, {Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10}},
			Limits: gateway.Limits{CommandsPerSecond: 100, ChannelsPerSession: 20, CommandsPerSecondPerIP: 1000, NewChannelsPerSecond: 250},
		})
		next := 0
		publish := func(remote, family string, sessions int) (published int) {
			for range sessions {
				p := n.connect(gateway.Hello{Remote: remote})
				for range 30 {
					p.send("pub %s:%d hello", family, next)
					next++
				}
				synctest.Wait()
				published += publishedBy(p)
				p.Close(gateway.Left, nil)
			}
			return published
		}
		if got := publish("192.0.2.1:1", "chat", 20); got != 100 {
			t.Errorf("20 sessions from one address opened %d channels at once, want 100", got)
		}
		time.Sleep(time.Second)
		if got := publish("192.0.2.1:1", "chat", 20); got != 1 {
			t.Errorf("a second later they opened %d more, want 1", got)
		}
		if got := publish("192.0.2.2:1", "plain", 20); got != 600 {
			t.Errorf("%d of 600 publishes to channels without a history passed", got)
		}
		time.Sleep(time.Second)
		if got := publish("192.0.2.2:1", "chat", 10) + publish("192.0.2.3:1", "chat", 10) + publish("192.0.2.4:1", "chat", 10); got != 250 {
			t.Errorf("sessions from three addresses opened %d channels at once, want the 250 of the node", got)
		}
	})
}

func TestSpending_ABackendIsNotBound(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 1, CommandsPerSecondPerIP: 1}})
	p := n.connect(gateway.Hello{Principal: backend, Remote: "192.0.2.1:1"})
	for range 20 {
		p.send("ping")
	}
	p.until("all answers", func() bool { return count(p.lines(), "pong") == 20 })
}

func TestSpending_AFloodIsReadSlowlyAndThenEnds(t *testing.T) {
	for what, frame := range map[string]string{"commands": "ping", "frames without commands": ""} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 10}})
				p := n.connect(gateway.Hello{Protocol: batches{}})
				began := time.Now()
				frames := 0
				for closed := false; !closed; {
					select {
					case p.says <- frame:
						frames++
					case <-p.closed:
						closed = true
					}
				}
				took := time.Since(began)
				if took < 10*time.Second || took > 15*time.Second {
					t.Errorf("the flood went on for %v", took)
				}
				if answers := len(p.lines()); frames > 20*15 || answers > 20*15 {
					t.Errorf("%d frames read and %d answers in %v, with 10 commands a second allowed", frames, answers, took)
				}
				if reason := p.expectClosed(); reason.Code != 1008 {
					t.Errorf("closed with %+v", reason)
				}
			})
		})
	}
}

// batches is a protocol whose frames have one command on each line.
type batches struct{ words }

func (b batches) Decode(f gateway.Frame) (commands []gateway.Command, err error) {
	for line := range bytes.Lines(f.Data) {
		command, err := b.words.Decode(gateway.Frame{Data: line})
		if err != nil {
			return nil, err
		}
		commands = append(commands, command...)
	}
	return commands, nil
}

func TestSpending_CommandsOfAClientThatHasGoneAreNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 10}})
		listener := n.listen("chat")
		s, err := n.Open(t.Context(), gateway.Hello{Protocol: batches{}, Transport: "test"})
		must(t, err)
		s.Attach(newPeer(t))
		time.AfterFunc(time.Second, func() { s.Close(gateway.Left) })
		frame := gateway.Frame{Data: []byte(strings.Repeat("pub chat hello\n", 500))}
		if err := s.Receive(t.Context(), frame); !errors.Is(err, gateway.Left) {
			t.Errorf("Receive: %v, want the reason why the session has ended", err)
		}
		synctest.Wait()
		if got := len(listener.heardOf("chat")); got > 20 {
			t.Errorf("%d of 500 publishes in a frame passed, with 10 a second, of a client that left after a second", got)
		}
	})
}
