package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestSession_SubscribersGetWhatIsPublishedInOrder(t *testing.T) {
	n := startNode(t, gateway.Config{})
	listeners := []*peer{n.connect(gateway.Hello{}), n.connect(gateway.Hello{}), n.connect(gateway.Hello{Protocol: words{"other"}})}
	for _, p := range listeners {
		p.subscribe("chat")
	}
	var want []string
	for i := range 500 {
		n.publish("chat", "%d", i)
		want = append(want, fmt.Sprint(i))
	}
	for i, p := range listeners {
		p.until("all messages", func() bool { return len(p.heardOf("chat")) >= len(want) })
		if got := p.heardOf("chat"); !slices.Equal(got, want) {
			t.Errorf("listener %d heard %v", i, got)
		}
	}
}

func TestSession_WelcomeComesFirst(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	p.expect("welcome alice")
	if first := p.lines()[0]; first != "welcome alice" {
		t.Errorf("first line %q", first)
	}
}

func TestSession_UnsubscribedHearsNoMore(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{})
	p.send("sub a")
	p.send("sub b")
	p.send("unsub a")
	p.expect("unsubscribed a")
	n.publish("a", "late")
	n.publish("b", "end")
	p.expect("message b end")
	if got := p.heardOf("a"); len(got) != 0 {
		t.Errorf("heard %v after unsubscribing", got)
	}
	p.send("unsub a")
	p.expect("error not_found")
}

func TestSession_NoEchoLeavesOutItsOwn(t *testing.T) {
	n := startNode(t, gateway.Config{})
	quiet, other := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
	quiet.send("subquiet chat")
	quiet.expect("subscribed")
	other.subscribe("chat")
	quiet.send("pub chat mine")
	other.expect("message chat mine")
	other.send("pub chat theirs")
	quiet.expect("message chat theirs")
	if got := quiet.heardOf("chat"); !slices.Equal(got, []string{"theirs"}) {
		t.Errorf("heard %v", got)
	}
}

// The protocol decides how to answer a command without an ID.
func TestSession_CommandWithoutIDIsAnswered(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Protocol: words{"nameless"}})
	p.subscribe("chat")
	p.send("pub chat hello")
	p.expect("published chat")
	p.send("unsub chat")
	p.expect("unsubscribed chat")
	p.send("unsub chat")
	p.expect("error not_found")
}

func TestSession_SlowClientIsClosedAndOthersAreNot(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{OutboxBytes: 4096}})
	slow, quick := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
	for _, p := range []*peer{slow, quick} {
		p.subscribe("chat")
	}
	slow.stall()
	for i := range 100 {
		n.publish("chat", "%d-%s", i, strings.Repeat("x", 100))
		quick.until("the message", func() bool { return len(quick.heardOf("chat")) > i })
	}
	if reason := slow.expectClosed(); reason.Code != 4008 {
		t.Errorf("closed with %+v, want 4008", reason)
	}
}

func TestSession_ConflatedChannelGivesASlowClientTheLatest(t *testing.T) {
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}
	n := startNode(t, gateway.Config{Rules: rules, Limits: gateway.Limits{OutboxBytes: 4096}})
	p := n.listen("ticker")
	resume := p.stall()
	for i := range 1000 {
		n.publish("ticker", "%d-%s", i, strings.Repeat("x", 100))
	}
	resume()
	p.expect("message ticker 999-")
	if got := len(p.heardOf("ticker")); got > 60 {
		t.Errorf("a slow client heard %d messages of a conflated channel", got)
	}
}

func TestSession_WhatWaitsOfAConflatedChannelKeepsItsPlace(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}})
	p := n.listen("ticker")
	resume := p.stall()
	for i := range 100 {
		n.publish("ticker", "%d", i)
	}
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Anyone}}))
	n.publish("ticker", "100")
	n.publish("ticker", "101")
	resume()
	p.expect("message ticker 101")
	heard := p.heardOf("ticker")
	if want := []string{"99", "100", "101"}; len(heard) < 3 || !slices.Equal(heard[len(heard)-3:], want) {
		t.Errorf("the last that it heard are %q, want %q", heard[max(0, len(heard)-3):], want)
	}
}

func TestSession_NothingOfAConflatedChannelFollowsItsEnd(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}})
	p := n.listen("ticker")
	resume := p.stall()
	for i := range 100 {
		n.publish("ticker", "%d", i)
	}
	p.send("unsub ticker")
	p.send("ping")
	resume()
	p.expect("unsubscribed")
	p.expect("pong")
	if heard := p.heardOf("ticker"); slices.Contains(heard, "99") {
		t.Errorf("it heard %q", heard)
	}
}

// Else a client that loads its state after the gap would take an older message for a newer one.
func TestSession_WhatWaitsOfAConflatedChannelComesBeforeAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		n := startNode(t, gateway.Config{Broker: l, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}})
		p := n.listen("ticker")
		resume := p.stall()
		for i := range 100 {
			n.publish("ticker", "%d", i)
			synctest.Wait()
		}
		l.Gap([]string{"ticker"}, errCut)
		synctest.Wait()
		n.publish("ticker", "100")
		resume()
		p.expect("message ticker 100")
		lines := p.lines()
		if want := []string{"message ticker 99 ", "gap ticker", "message ticker 100 "}; !slices.Equal(lines[max(0, len(lines)-3):], want) {
			t.Errorf("it heard %q, want %q at last", lines, want)
		}
	})
}

// What a slow client resumes on a channel includes the message that waits for it there.
func TestSession_WhoResumesOnAConflatedChannelHearsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true, HistorySize: 100}}})
		p := n.listen("ticker")
		from := n.publish("ticker", "0")
		p.expect("message ticker 0")
		resume := p.stall()
		for i := range 5 {
			n.publish("ticker", "%d", 1+i)
			synctest.Wait()
		}
		p.send("sub ticker %s", from)
		synctest.Wait()
		resume()
		time.Sleep(time.Second)
		synctest.Wait()
		lines := p.lines()
		reply := slices.Index(lines, "subscribed ticker recovered=true")
		var heard []string
		for _, line := range lines[reply+1:] {
			heard = append(heard, strings.Fields(line)[2])
		}
		if want := []string{"1", "2", "3", "4", "5"}; !slices.Equal(heard, want) {
			t.Errorf("after the reply it heard %q of %q, want %q", heard, lines, want)
		}
	})
}

func TestSession_DelayedChannelWritesManyMessagesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := rules.List{{Match: "*", Subscribe: rules.Anyone, Delay: 100 * time.Millisecond}}
		n := startNode(t, gateway.Config{Rules: rules})
		p := n.listen("ticks")
		began, writes := time.Now(), p.writes
		for i := range 20 {
			n.publish("ticks", "%d", i)
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		if got := len(p.heardOf("ticks")); got != 20 || time.Since(began) != 100*time.Millisecond {
			t.Errorf("%d of 20 messages after %v", got, time.Since(began))
		}
		if got := p.writes - writes; got != 1 {
			t.Errorf("they took %d writes, want 1", got)
		}
	})
}

// A channel that delays its messages delays nothing else.
func TestSession_OnADelayedChannelHasItsAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Rules: rules.List{{Match: "ticks", Subscribe: rules.Anyone, Delay: time.Second}, {Match: "*", Subscribe: rules.Anyone}}})
		p := n.listen("ticks")
		p.subscribe("other")
		began := time.Now()
		n.publish("ticks", "1")
		p.send("ping")
		p.expect("pong")
		n.publish("ticks", "2")
		n.publish("other", "1")
		p.expect("message other 1")
		n.publish("ticks", "3")
		p.send("break")
		p.expectClosed()
		if took := time.Since(began); took > 0 {
			t.Errorf("this took %v", took)
		}
		if got := p.heardOf("ticks"); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("heard %v", got)
		}
	})
}

// A client is not slow because the node holds back much for it.
func TestSession_OnADelayedChannelKeepsUpWithABurst(t *testing.T) {
	for _, conflate := range []bool{false, true} {
		t.Run(fmt.Sprint("conflate=", conflate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rules := rules.List{{Match: "*", Subscribe: rules.Anyone, Delay: time.Second, Conflate: conflate}}
				n := startNode(t, gateway.Config{Rules: rules, Limits: gateway.Limits{OutboxBytes: 4096}})
				p := n.listen("ticks")
				for i := range 50 {
					n.publish("ticks", "%d-%s", i, strings.Repeat("x", 500))
					synctest.Wait()
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got := len(p.heardOf("ticks")); got != 50 || p.isClosed() {
					t.Errorf("heard %d messages of 50; closed: %v (%s)", got, p.isClosed(), p.reason.Label)
				}
			})
		})
	}
}

func TestSession_MalformedCommandIsToldAndTheSessionLives(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{})
	p.send("nonsense")
	p.expect("error bad_request")
	p.send("ping")
	p.expect("pong")
}

func TestSession_ProtocolErrorEndsItWithItsReason(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{})
	p.send("break")
	if reason := p.expectClosed(); reason != gateway.Unsupported {
		t.Errorf("closed with %+v", reason)
	}
}

func TestSession_LimitsHold(t *testing.T) {
	limits := gateway.Limits{MessageBytes: 10, ChannelsPerSession: 2, Sessions: 2, SessionsPerUser: 1}
	n := startNode(t, gateway.Config{Limits: limits})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	p.send("sub a") // in addition to @alice
	p.expect("subscribed a")
	p.send("sub b")
	p.expect("error limit_exceeded")
	p.send("pub a 12345678901")
	p.expect("error too_large")
	p.send("pub a 1234567890")
	p.expect("published a")

	_, err := n.tryConnect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	wantCode(t, err, gateway.LimitExceeded)
	n.connect(gateway.Hello{})
	_, err = n.tryConnect(gateway.Hello{})
	wantCode(t, err, gateway.LimitExceeded)
}

func TestSession_CommandsPastTheRateAreRefusedAndItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{CommandsPerSecond: 5}})
		p := n.connect(gateway.Hello{})
		for range 7 {
			p.send("ping")
		}
		synctest.Wait()
		if got := count(p.lines(), "pong"); got != 5 {
			t.Errorf("%d of 7 commands passed, want the burst of 5", got)
		}
		if got := count(p.lines(), "error rate_limited"); got != 2 {
			t.Errorf("%d errors, want 2", got)
		}
		time.Sleep(time.Second)
		p.send("ping")
		synctest.Wait()
		if got := count(p.lines(), "pong"); got != 6 {
			t.Errorf("%d pongs a second later, want 6", got)
		}
	})
}

func TestSession_SilentPeerIsPingedThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		silent, lively := n.connect(gateway.Hello{}), n.connect(gateway.Hello{})
		for range 20 {
			time.Sleep(5 * time.Second)
			lively.send("ping")
		}
		if reason := silent.expectClosed(); reason != gateway.TimedOut {
			t.Errorf("closed with %+v", reason)
		}
		if count(silent.lines(), "heartbeat") == 0 {
			t.Error("the silent peer was not asked")
		}
		select {
		case <-lively.closed:
			t.Error("the lively peer was closed")
		default:
		}
	})
}

func TestSession_EndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		began := time.Now()
		p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice", Expires: began.Add(90 * time.Second)}})
		heard := make(chan struct{})
		go func() { // stays alive
			defer close(heard)
			for {
				select {
				case p.says <- "ping":
					time.Sleep(10 * time.Second)
				case <-p.closed:
					return
				}
			}
		}()
		if reason := p.expectClosed2(); reason != gateway.TokenExpired {
			t.Errorf("closed with %+v", reason)
		}
		<-heard
		if late := time.Since(began) - 90*time.Second; late < 0 || late > 12*time.Second {
			t.Errorf("closed %v after the token's end", late)
		}
	})
}

// expectClosed2 waits for a close, however long it takes.
func (p *peer) expectClosed2() gateway.Reason {
	<-p.closed
	return p.reason
}

func TestSession_MustAuthenticateInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{NoAnonymous: true, Auth: names{}})
		if _, err := n.tryConnect(gateway.Hello{}); gateway.ErrorOf(err).Code != gateway.Unauthenticated {
			t.Errorf("a protocol without auth commands was let in: %v", err)
		}
		late := n.connect(gateway.Hello{AuthLater: true})
		prompt := n.connect(gateway.Hello{AuthLater: true})
		prompt.send("sub chat")
		prompt.expect("error unauthenticated")
		prompt.send("auth alice")
		prompt.expect("welcome alice")
		prompt.subscribe("chat")
		time.Sleep(11 * time.Second)
		if reason := late.expectClosed(); reason.Code != 4001 {
			t.Errorf("closed with %+v", reason)
		}
		prompt.send("ping")
		prompt.expect("pong")
	})
}

// names is an Authenticator that accepts every name but mallory's.
type names struct{}

func (names) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	if token == "mallory" {
		return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Message: "not you"}
	}
	return gateway.Principal{User: token}, nil
}

func TestSession_BadAuthClosesWith4001(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: names{}})
	p := n.connect(gateway.Hello{AuthLater: true})
	p.send("auth mallory")
	p.expect("error unauthenticated")
	if reason := p.expectClosed(); reason.Code != 4001 {
		t.Errorf("closed with %+v", reason)
	}
}

func TestSession_AuthWithoutATokenLetsNobodyInWhoMustHaveOne(t *testing.T) {
	n := startNode(t, gateway.Config{NoAnonymous: true, Auth: names{}})
	p := n.connect(gateway.Hello{AuthLater: true})
	p.send("auth")
	p.expect("error unauthenticated")
	if reason := p.expectClosed(); reason.Code != 4001 {
		t.Errorf("closed with %+v", reason)
	}
}

func TestSession_ThatBeginsWithAuthIsNobodyBefore(t *testing.T) {
	o := newOffice(func(*gateway.Question) error { return nil })
	n := startNode(t, gateway.Config{Auth: names{}, Hooks: o})
	p := n.connect(gateway.Hello{AuthFirst: true})
	p.send("sub chat")
	p.expect("error unauthenticated")
	p.send("auth")
	p.expect("welcome")
	p.subscribe("chat")
	if lines := p.lines(); lines[0] != "error unauthenticated" {
		t.Errorf("it heard %q before its Auth was answered", lines)
	}
	if got := o.questions(); !slices.Equal(got, []string{"connect", "subscribe chat"}) {
		t.Errorf("asked %q", got)
	}
}

func TestSession_AuthWithoutATokenIsOfWhomTheHandshakeShowed(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: names{}})
	p := n.connect(gateway.Hello{AuthFirst: true, Principal: gateway.Principal{User: "alice"}})
	p.send("auth")
	p.expect("welcome alice")
}

func TestSession_ThatBeginsWithAuthMayBringItWhenItOpens(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: names{}})
	p := n.connect(gateway.Hello{AuthFirst: true, Commands: []gateway.Command{gateway.Auth{Token: "alice"}}})
	p.subscribe("chat")
	if lines := p.lines(); lines[0] != "welcome alice" {
		t.Errorf("it heard %q first", lines)
	}
	_, err := n.Open(t.Context(), gateway.Hello{
		Protocol: words{"words"}, AuthFirst: true, Commands: []gateway.Command{gateway.Auth{Token: "mallory"}},
	})
	wantCode(t, err, gateway.Unauthenticated)
}

// claims is an Authenticator of a fixed set of tokens.
type claims map[string]gateway.Principal

func (c claims) Authenticate(_ context.Context, token string) (gateway.Principal, error) {
	return c[token], nil
}

func TestSession_RenewedTokenThatAllowsLessEndsWhatItForbids(t *testing.T) {
	n := startNode(t, gateway.Config{
		Rules: rules.List{{Match: "*", Subscribe: rules.Token}},
		Auth:  claims{"less": {User: "alice", Subscribe: []string{"a"}}},
	})
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice", Subscribe: []string{"a", "b"}}})
	p.send("sub a")
	p.send("sub b")
	p.expect("subscribed b")
	p.send("auth less")
	p.expect("unsubscribed b forbidden")
	n.publish("b", "hidden")
	n.publish("a", "shown")
	p.expect("message a shown")
	if got := p.heardOf("b"); len(got) != 0 {
		t.Errorf("heard %v", got)
	}
}

func TestSession_PersonalChannelIsItsUsersAlone(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone}}})
	alice := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
	alice.expect("subscribed @alice")
	bob := n.connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
	anonymous := n.connect(gateway.Hello{})
	n.publish("@alice", "psst")
	alice.expect("message @alice psst")
	bob.send("sub @alice")
	bob.expect("error forbidden")
	anonymous.send("sub @alice")
	anonymous.expect("error unauthenticated")
	bob.send("pub @alice hey")
	bob.until("a second error", func() bool { return count(bob.lines(), "error forbidden") == 2 })
	alice.send("unsub @alice")
	alice.expect("error forbidden")
}

func TestSession_WithAChannelOfItsOwnIsOnThatAlone(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{
		Principal: gateway.Principal{User: "alice", Channels: []string{"news"}},
		Channel:   "chat", Commands: []gateway.Command{gateway.Subscribe{}},
	})
	n.publish("@alice", "personal")
	n.publish("news", "claimed")
	n.publish("chat", "its own")
	p.expect("message chat its")
	if got := count(p.lines(), "message"); len(p.heardOf("@alice"))+len(p.heardOf("news")) != 0 {
		t.Errorf("heard %d messages of other channels: %q", got, p.lines())
	}
}

func TestGateway_NewRulesEndWhatTheyForbid(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{})
	p.send("sub a")
	p.send("sub b")
	p.expect("subscribed b")
	must(t, n.SetRules(rules.List{{Match: "a", Subscribe: rules.Anyone}}))
	p.expect("unsubscribed b unauthenticated")
	n.publish("b", "hidden")
	n.publish("a", "shown")
	p.expect("message a shown")
	if got := p.heardOf("b"); len(got) != 0 {
		t.Errorf("heard %v", got)
	}
}

func TestGateway_DrainSendsAllAwayPacedAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{DrainWindow: 10 * time.Second})
		var peers []*peer
		for range 10 {
			peers = append(peers, n.connect(gateway.Hello{}))
		}
		drained := make(chan error)
		go func() { drained <- n.Shutdown(context.Background()) }()
		time.Sleep(5*time.Second + time.Millisecond)
		told, gone := 0, 0
		for _, p := range peers {
			told += count(p.lines(), "reconnect")
			select {
			case <-p.closed:
				gone++
			default:
			}
		}
		if told != 6 {
			t.Errorf("halfway %d of 10 were told, want 6", told)
		}
		if gone != 4 {
			t.Errorf("halfway %d of 10 are closed, want the 4 who were told over 2 s ago", gone)
		}
		if err := n.Ready(); err == nil {
			t.Error("ready while it drains")
		}
		if _, err := n.tryConnect(gateway.Hello{}); gateway.ErrorOf(err).Code != gateway.Unavailable {
			t.Errorf("a session was opened while it drains: %v", err)
		}
		if err := <-drained; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for _, p := range peers {
			if reason := p.expectClosed(); reason.Code != 1001 {
				t.Errorf("closed with %+v", reason)
			}
		}
	})
}

// After the last client has been closed, more than a second must remain for everything else.
func TestGateway_DrainLeavesTimeToEnd(t *testing.T) {
	for _, window := range []time.Duration{time.Second, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			n := startNode(t, gateway.Config{DrainWindow: window})
			for range 100 {
				n.connect(gateway.Hello{})
			}
			began := time.Now()
			if err := n.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if left := time.Until(began.Add(window + gateway.EndPatience)); left < 1200*time.Millisecond {
				t.Errorf("of %v and %v only %v are left", window, gateway.EndPatience, left)
			}
		})
	}
}

func count(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

func wantCode(t *testing.T, err error, code gateway.Code) {
	t.Helper()
	var e *gateway.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %s", err, code)
	}
}

func TestSession_ProtocolSaysFarewell(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Protocol: words{"sworn"}})
	p.send("break")
	reason := p.expectClosed()
	if reason.Code != 4203 || reason.Text != "sworn unsupported_data" || !reason.Is(gateway.Unsupported) {
		t.Errorf("closed with %+v, want what the protocol says of it", reason)
	}
}

func TestGateway_RefusedSessionSaysWhyAndDoesNothing(t *testing.T) {
	n := startNode(t, gateway.Config{})
	other := n.listen("chat")
	for label, err := range map[string]error{
		"refused":         gateway.Refused.With("no such app"),
		"unauthenticated": &gateway.Error{Code: gateway.Unauthenticated},
		"token_expired":   &gateway.Error{Code: gateway.Unauthenticated, Reason: gateway.TokenExpired},
		"overloaded":      &gateway.Error{Code: gateway.LimitExceeded},
		"policy":          &gateway.Error{Code: gateway.BadRequest},
		"internal":        errors.New("broken"),
	} {
		s := n.Refuse(gateway.Hello{Protocol: words{"sworn"}}, err)
		if ended := s.Receive(t.Context(), gateway.Frame{Data: []byte("pub chat refused")}); gateway.ReasonOf(ended).Label != label {
			t.Errorf("%v: receives, with %v", err, ended)
		}
		p := newPeer(t)
		s.Attach(p)
		p.expect("goodbye " + label)
		if reason := p.expectClosed(); reason.Label != label || reason.Text != "sworn "+label {
			t.Errorf("%v: closed with %+v", err, reason)
		}
	}
	n.publish("chat", "last")
	other.expect("message chat last")
	if got := other.heardOf("chat"); !slices.Equal(got, []string{"last"}) {
		t.Errorf("heard %v", got)
	}
}

func TestSession_IsToldItsEndAndHowItIsSpokenFor(t *testing.T) {
	n := startNode(t, gateway.Config{})
	p := n.connect(gateway.Hello{Protocol: words{"exact"}, Key: "k1", Principal: gateway.Principal{User: "alice", Expires: time.Unix(33e9, 0)}})
	p.expect("welcome alice key=k1 expires=33000000000")
}

// stale is an Authenticator for which every token has expired.
type stale struct{}

func (stale) Authenticate(context.Context, string) (gateway.Principal, error) {
	return gateway.Principal{}, &gateway.Error{Code: gateway.Unauthenticated, Reason: gateway.TokenExpired.With("get a new one")}
}

func TestSession_TokenThatHasExpiredIsNoBadOne(t *testing.T) {
	n := startNode(t, gateway.Config{Auth: stale{}})
	p := n.connect(gateway.Hello{AuthLater: true})
	p.send("auth old")
	p.expect("error unauthenticated token_expired")
	if reason := p.expectClosed(); !reason.Is(gateway.TokenExpired) || reason.Text != "get a new one" {
		t.Errorf("closed with %+v", reason)
	}
}

func TestSession_IsPingedByTheClockWhereItsProtocolCountsOnThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Ping: 10 * time.Second})
		pinged, quiet := n.connect(gateway.Hello{Pinged: true}), n.connect(gateway.Hello{})
		for range 60 {
			time.Sleep(time.Second)
			pinged.send("ping")
			quiet.send("ping")
		}
		synctest.Wait()
		if got := count(pinged.lines(), "heartbeat"); got != 6 {
			t.Errorf("%d heartbeats within 60 s, of one in 10 s", got)
		}
		if got := count(quiet.lines(), "heartbeat"); got != 0 {
			t.Errorf("%d heartbeats for a client that speaks", got)
		}
	})
}

// places is a Room with a number of free places.
type places struct{ free atomic.Int64 }

func (p *places) Take() error {
	if p.free.Add(-1) < 0 {
		p.free.Add(1)
		return &gateway.Error{Code: gateway.LimitExceeded, Message: "full"}
	}
	return nil
}

func (p *places) Give() { p.free.Add(1) }

func TestSession_TakesAPlaceOfItsRoomUntilItIsOver(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{Sessions: 2}})
	room := &places{}
	room.free.Store(1)
	open := func(room gateway.Room) (*gateway.Session, error) {
		return n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test", Room: room})
	}
	first, err := open(room)
	must(t, err)
	_, err = open(room)
	wantCode(t, err, gateway.LimitExceeded)
	other, err := open(nil)
	must(t, err)
	first.End(nil)
	eventually(t, "the place is free", func() bool { return room.free.Load() == 1 })
	full, err := open(nil)
	must(t, err)
	_, err = open(room) // the node is full, but the room is not
	wantCode(t, err, gateway.LimitExceeded)
	if got := room.free.Load(); got != 1 {
		t.Errorf("%d places are free after a refusal, want 1", got)
	}
	other.End(nil)
	full.End(nil)
}

// A gap tells a slow client of what is dropped for it: many channels may have one at once.
func TestSession_SlowClientOfManyConflatedChannelsLivesThroughAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		n := startNode(t, gateway.Config{
			Broker: l, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Conflate: true}}, Limits: gateway.Limits{OutboxBytes: 4096},
		})
		var channels []string
		for i := range 20 {
			channels = append(channels, fmt.Sprint("ticker:", i))
		}
		p := n.listen(channels...)
		resume := p.stall()
		for _, channel := range slices.Repeat(channels, 3) {
			n.publish(channel, "%s", strings.Repeat("x", 500))
			synctest.Wait()
		}
		l.Gap(channels, errCut)
		synctest.Wait()
		resume()
		n.publish(channels[0], "100")
		p.expect("message ticker:0 100")
		if gaps := strings.Count(strings.Join(p.lines(), "\n"), "gap ticker:"); gaps != len(channels) {
			t.Errorf("it heard of %d gaps, want %d", gaps, len(channels))
		}
	})
}
