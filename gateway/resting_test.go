package gateway_test

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tidegate/gateway"
)

// attached is a session whose frames a test passes in, like a transport that does the reading.
type attached struct {
	*peer
	session *gateway.Session
}

func (n *node) attach() *attached {
	n.t.Helper()
	s, err := n.Open(n.t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test"})
	if err != nil {
		n.t.Fatalf("Open: %v", err)
	}
	p := newPeer(n.t)
	s.Attach(p)
	return &attached{p, s}
}

func (a *attached) receive(text string) {
	a.t.Helper()
	if err := a.session.Receive(a.t.Context(), gateway.Frame{Data: []byte(text)}); err != nil {
		a.t.Errorf("%.20s: %v", text, err)
	}
}

func TestSession_WhatItPublishedLastIsWrittenWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		listener := n.listen("a")
		p := n.attach()
		synctest.Wait()
		p.receive("pub a last")
		p.session.End(io.EOF)
		synctest.Wait()
		if got := listener.heardOf("a"); !slices.Equal(got, []string{"last"}) {
			t.Errorf("the listener heard %q", got)
		}
		if !p.over {
			t.Error("the publisher's connection has not been closed")
		}
	})
}

// A node may stop between the opening of a session and its Attach.
func TestSession_GetsItsConnectionWhenTheNodeHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{})
		s, err := n.Open(t.Context(), gateway.Hello{Protocol: words{"words"}, Transport: "test"})
		must(t, err)
		n.stop()
		p := newPeer(t)
		s.Attach(p)
		synctest.Wait()
		if !p.over || p.reason.Label != gateway.Draining.Label {
			t.Errorf("closed: %v (%s)", p.over, p.reason.Label)
		}
	})
}

// A session's publish goes out even if the session has other work that takes long.
func TestSession_WhatItPublishesDoesNotWaitForTheBackend(t *testing.T) {
	for name, commands := range map[string][]string{
		"publish":   {"pub b 2"},
		"auth":      {"auth alice"},
		"subscribe": {"sub b", "ping"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := make(chan struct{})
				o := newOffice(func(q *gateway.Question) error {
					if q.Channel == "b" || q.Principal.User == "alice" {
						<-slow
					}
					return nil
				})
				n := startNode(t, gateway.Config{Hooks: o, Auth: names{}})
				listener := n.listen("a")
				p := n.attach()
				synctest.Wait()
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.receive("pub a 1")
					for _, command := range commands {
						p.receive(command)
					}
				}()
				synctest.Wait()
				if got := listener.heardOf("a"); !slices.Equal(got, []string{"1"}) {
					t.Errorf("the listener heard %q before the backend has answered", got)
				}
				close(slow)
				<-done
				p.session.End(io.EOF)
			})
		})
	}
}

// A client whose input is small but expands to a lot, like compressed input, must not cause
// others that keep up to be closed.
func TestSession_MuchThatItPublishesAtOnceDoesNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := gateway.DefaultLimits()
		n := startNode(t, gateway.Config{Limits: limits})
		listener := n.listen("a")
		p := n.attach()
		synctest.Wait()
		count := 2 * limits.OutboxBytes / limits.MessageBytes
		for range count {
			p.receive("pub a " + strings.Repeat("x", limits.MessageBytes))
		}
		p.session.Rest()
		synctest.Wait()
		if got := len(listener.heardOf("a")); got != count {
			t.Errorf("the listener heard %d messages of %d, and was closed: %v (%s)", got, count, listener.over, listener.reason.Label)
		}
		p.session.End(io.EOF)
	})
}

// A session that catches up needs room in its outbox, where an answer is waiting.
func TestSession_ResumesBehindItsOwnPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{OutboxBytes: 4096}})
		from := n.publish("a", "0")
		for range 50 {
			n.publish("a", "%s", strings.Repeat("x", 200))
		}
		p := n.attach()
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.receive("pub b 1")
			p.receive("sub a " + from.String())
			p.receive("ping")
		}()
		synctest.Wait()
		if got := len(p.heardOf("a")); got != 50 {
			t.Errorf("the session was sent %d messages of 50", got)
		}
		<-done
		p.session.End(io.EOF)
	})
}
