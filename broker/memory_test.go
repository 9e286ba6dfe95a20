package broker_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	brokertest.Run(t, func(*testing.T) brokertest.Subject {
		b := broker.NewMemory()
		return brokertest.Subject{Nodes: []brokertest.Node{{Broker: b, History: b, Presence: b, Register: b}}}
	})
}

// restful is a Receiver that only hears what it is told beside messages.
type restful struct {
	broker.Receiver
	linked chan struct{}
	rests  int
}

func (r *restful) Link(error) { close(r.linked) }
func (r *restful) Rest()      { r.rests++ }

func TestMemory_RestsAfterAPublishThatNobodyHears(t *testing.T) {
	b, r := broker.NewMemory(), &restful{linked: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx, r) }()
	<-r.linked
	if _, err := broker.Publish(ctx, b, broker.Message{Channel: "a"}, broker.PublishOptions{}); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
	if r.rests != 1 {
		t.Errorf("%d rests, want 1", r.rests)
	}
}
