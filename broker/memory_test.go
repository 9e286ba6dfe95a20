package broker_test

import (
	"testing"

	"go.uber.org/goleak"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	brokertest.Run(t, func(*testing.T) brokertest.Subject {
		b := broker.NewMemory()
		return brokertest.Subject{Nodes: []brokertest.Node{{Broker: b, History: b, Presence: b}}}
	})
}
