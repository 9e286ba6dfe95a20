package brokertest

import (
	"context"
	"errors"
	"testing"
	"tidegate/broker"
	"time"
)

// Node is one gateway node's view of the subject.
type Node struct {
	Broker   broker.Broker
	History  broker.History
	Presence broker.Presence
	Register broker.Register
}

// Subject is a broker to be tested: one or more nodes of one cluster, whose Run has not been
// called yet.
type Subject struct {
	Nodes []Node

	// PublishBare publishes a payload without an envelope, as a backend does. It may be nil.
	PublishBare func(channel, payload string)

	// Forget calls do and then resets the broker to its state before. It may be nil.
	Forget func(do func())
}

// cluster is a subject whose nodes run until the test ends.
type cluster struct {
	*testing.T
	Subject
	told   []*Recorder // one per node
	stop   func()      // stops all nodes and waits for them
	looked uint64      // the version that looks used last
}

func runSubject(t *testing.T, s Subject) *cluster {
	c := &cluster{T: t, Subject: s}
	var stops []func()
	for _, node := range s.Nodes {
		recorder, stop := RunBroker(t, node.Broker)
		c.told = append(c.told, recorder)
		stops = append(stops, stop)
	}
	c.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	for _, recorder := range c.told {
		recorder.WaitUp()
	}
	return c
}

// RunBroker runs b until stop is called or the test ends. stop waits for Run to return and may
// be called more than once.
func RunBroker(t testing.TB, b broker.Broker) (told *Recorder, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	told = NewRecorder(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Run(ctx, told); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return told, stop
}

// first returns the node that subscribes, and last the one that publishes. They are different
// nodes if there is more than one.
func (c *cluster) first() Node { return c.Nodes[0] }

func (c *cluster) last() Node { return c.Nodes[len(c.Nodes)-1] }

func (c *cluster) heard() *Recorder { return c.told[0] }

func (c *cluster) subscribe(channels ...string) {
	c.Helper()
	for _, channel := range channels {
		if err := c.first().Broker.Subscribe(c.Context(), channel); err != nil {
			c.Fatalf("Subscribe(%q): %v", channel, err)
		}
	}
}

func (c *cluster) publish(m broker.Message, o broker.PublishOptions) broker.Position {
	c.Helper()
	position, err := broker.Publish(c.Context(), c.last().Broker, m, o)
	if err != nil {
		c.Fatalf("Publish(%q): %v", m.Channel, err)
	}
	return position
}

// insist calls do and retries while it returns broker.ErrUnavailable, since a busy machine may
// not answer all calls within a second. It fails the test on other errors, or after Patience.
func (c *cluster) insist(what string, do func() error) {
	deadline := time.Now().Add(Patience)
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(deadline) {
			c.Errorf("%s: %v", what, err)
			return
		}
		<-time.After(10 * time.Millisecond) // without it, a thousand concurrent retries would starve the broker
	}
}

// text returns a text message.
func text(channel, payload string) broker.Message {
	return broker.Message{
		Channel: channel, Payload: []byte(payload), Kind: broker.Text,
		Time: time.UnixMilli(1763845845123),
	}
}

func payloads(messages []broker.Message) []string {
	list := make([]string, len(messages))
	for i, m := range messages {
		list[i] = string(m.Payload)
	}
	return list
}
