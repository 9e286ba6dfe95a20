package gateway_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// tokens is an Authenticator whose tokens are a user and the channels that a session is on
// from the start, separated by commas.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	words := strings.Split(token, ",")
	return gateway.Principal{User: words[0], Channels: words[1:]}, nil
}

// allKept are rules that give each channel a history and no announcements of joins.
var allKept = rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10}}

func TestWelcome_SaysOnWhatChannelsTheServerHasPutTheSession(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: tokens{}, Rules: allKept})
	for range 3 {
		n.publish("news", "old")
	}
	from := n.publish("news", "seen")
	n.publish("news", "missed")
	principal, _ := tokens{}.Authenticate(t.Context(), "alice,news")
	opened := n.connect(gateway.Hello{
		Protocol: words{"complete"}, Principal: principal, Cursors: map[string]string{"news": from.String(), "@alice": "0:0"},
	})
	authenticated := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true, AuthFirst: true})
	authenticated.send("authat alice,news news %s", from)
	for p, want := range map[*peer]string{
		opened:        "welcome alice @alice@0=false news@4=true",
		authenticated: "welcome alice @alice@0 news@4=true",
	} {
		p.expect("message news missed")
		if got := p.lines(); len(got) != 2 || got[0] != want {
			t.Errorf("heard %q, want %q and the message", got, want)
		}
	}
	n.publish("@alice", "personal")
	opened.expect("message @alice personal")
	authenticated.expect("message @alice personal")
}

func TestWelcome_TellsChannelsOfANewerTokenOneByOne(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: tokens{}, Rules: allKept})
	p := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true, AuthFirst: true})
	p.send("auth alice,a")
	p.expect("welcome alice @alice@0 a@0")
	p.send("auth alice,a,b")
	p.expect("subscribed b")
	if got := p.lines(); !slices.Equal(got, []string{"welcome alice @alice@0 a@0", "welcome alice", "subscribed b"}) {
		t.Errorf("heard %q", got)
	}
}

// After a Welcome for a newer token, the client must receive everything published from then
// on.
func TestWelcome_OfANewerTokenComesWhenTheSessionIsOnItsChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTurnstile()
		n := startNode(t, gateway.Config{Broker: b, Auth: tokens{}, Rules: rules.Development()})
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}, AuthLater: true})
		p.expect("subscribed @alice")
		p.send("auth alice,room:a")
		synctest.Wait()
		if len(b.made()) != 1 || count(p.lines(), "welcome alice") != 1 {
			t.Errorf("heard %q before the broker has subscribed", p.lines())
		}
		close(b.pass)
		p.expect("subscribed room:a")
		n.publish("room:a", "1")
		p.expect("message room:a 1")
		if got := p.lines(); len(got) != 5 || !strings.HasPrefix(got[2], "welcome alice") {
			t.Errorf("heard %q", got)
		}
	})
}

func TestWelcome_CursorThatIsNoneIsABadRequest(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: tokens{}, Rules: allKept})
	p := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true, AuthFirst: true})
	p.send("authat alice,a a nothing")
	p.expect("error bad_request")
	p.send("auth alice,a")
	p.expect("welcome alice @alice@0 a@0")
}

// TestWelcome_IsTheFirstThatIsWritten delivers a message on one of the channels while the
// history of another is still being read.
func TestWelcome_IsTheFirstThatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLibrary(t, gateway.Limits{})
		principal := gateway.Principal{User: "alice", Channels: []string{"alice:1", "alice:2"}}
		from := n.publish("alice:2", "seen")
		n.publish("alice:2", "missed")
		opening := make(chan *gateway.Session, 1)
		go func() {
			s, err := n.Open(context.Background(), gateway.Hello{
				Protocol: words{"complete"}, Transport: "test", Principal: principal, Cursors: map[string]string{"alice:2": from.String()},
			})
			if err != nil {
				t.Error(err)
			}
			opening <- s
		}()
		if under := l.underWay("alice"); under != 1 {
			t.Fatalf("%d reads are under way", under)
		}
		n.publish("alice:1", "early")
		l.letGo()
		p := newPeer(t)
		s := <-opening
		served := make(chan struct{})
		go func() { defer close(served); serve(context.Background(), s, p) }()
		p.expect("message alice:1 early")
		if got := p.lines()[0]; !strings.HasPrefix(got, "welcome alice @alice@0 alice:1@0 alice:2@1=true") {
			t.Errorf("the first that it hears is %q", got)
		}
		close(p.says)
		<-served
	})
}

// TestWelcome_WhoseJoinsFailHasToAuthenticateAgain has the broker unavailable for the
// channels of a client that signs in.
func TestWelcome_WhoseJoinsFailHasToAuthenticateAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Broker: without{broker.NewMemory(), "room:7"}, Auth: tokens{}, Rules: allOpen})
		p := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true, AuthFirst: true})
		p.send("auth alice,room:7")
		p.expect("error unavailable")
		p.send("sub news")
		p.expect("error unauthenticated")
		began := time.Now()
		if reason := p.expectClosed(); !reason.Is(gateway.NotAuthentic) {
			t.Errorf("closed with %+v", reason)
		}
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("it stayed for %v", waited)
		}
	})
}

var allOpen = rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}

// without is a broker that fails to subscribe to one channel.
type without struct {
	broker.Broker
	channel string
}

func (b without) Subscribe(ctx context.Context, channels ...string) error {
	if slices.Contains(channels, b.channel) {
		return broker.ErrUnavailable
	}
	return b.Broker.Subscribe(ctx, channels...)
}

func TestWelcome_OfASessionThatCannotBePutOnItsChannelsIsAnError(t *testing.T) {
	n := startNode(t, gateway.Config{Broker: without{broker.NewMemory(), "room:7"}, Auth: tokens{}, Rules: allOpen})
	p := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true, AuthFirst: true})
	p.send("auth alice,room:7")
	p.expect("error unavailable")
	p.send("auth alice,room:8")
	p.expect("welcome alice @alice@0 room:8@0")
	want := []string{"error unavailable", "welcome alice @alice@0 room:8@0"}
	if got := p.lines(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	n.publish("@alice", "personal")
	p.expect("message @alice personal")
}

// A client whose session cannot be put on the channels of a newer token is told so, and only so:
// it then presents the token again.
func TestWelcome_OfANewerTokenWhoseJoinsFailIsAnError(t *testing.T) {
	n := startNode(t, gateway.Config{Broker: without{broker.NewMemory(), "room:7"}, Auth: tokens{}, Rules: allOpen})
	p := n.connect(gateway.Hello{Protocol: words{"complete"}, AuthLater: true})
	p.expect("welcome")
	p.send("auth alice,room:7")
	p.expect("error unavailable")
	p.send("auth alice,room:8")
	p.expect("subscribed room:8")
	if got, want := p.lines(), []string{"welcome ", "error unavailable", "welcome alice", "subscribed @alice", "subscribed room:8"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// Looking for each of a backend's channels among those before it would take minutes.
func TestWelcome_OfVeryManyChannelsCostsLittle(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: tokens{}, Limits: gateway.DefaultLimits()})
	principal, _ := tokens{}.Authenticate(t.Context(), "alice"+strings.Repeat(",channel", 10_000))
	for i := range principal.Channels {
		principal.Channels[i] += strconv.Itoa(i)
	}
	allocations := testing.AllocsPerRun(3, func() {
		if _, err := n.tryConnect(gateway.Hello{Principal: principal}); gateway.ErrorOf(err).Code != gateway.LimitExceeded {
			t.Errorf("10,000 channels: %v", err)
		}
	})
	if allocations > 10_000 {
		t.Errorf("refusing 10,000 channels takes %v allocations", allocations)
	}
}
