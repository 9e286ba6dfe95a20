package broker_test

import (
	"log/slog"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func newRedis(t testing.TB, c broker.RedisConfig) *broker.Redis {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b, err := broker.NewRedis(c)
	must(t, err)
	return b
}

func TestRedis_Standalone(t *testing.T) {
	server := brokertest.StartRedis(t)
	brokertest.Run(t, func(t *testing.T) brokertest.Subject {
		server.Flush()
		checkKeysAtTheEnd(t, server)
		a := newRedis(t, broker.RedisConfig{URL: server.URL(), Linger: 10 * time.Millisecond})
		b := newRedis(t, broker.RedisConfig{URL: server.URL(), Linger: 10 * time.Millisecond, Connections: 1})
		return brokertest.Subject{
			Nodes:       []brokertest.Node{{Broker: a, History: a, Presence: a, Register: a}, {Broker: b, History: b, Presence: b, Register: b}},
			PublishBare: func(channel, payload string) { server.CLI("PUBLISH", a.RedisName(channel), payload) },
			Forget:      server.Forget,
		}
	})
}

func TestRedis_Cluster(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	brokertest.Run(t, func(t *testing.T) brokertest.Subject {
		cluster.Flush()
		a := newRedis(t, broker.RedisConfig{URL: cluster.URL(), Linger: 10 * time.Millisecond})
		b := newRedis(t, broker.RedisConfig{URL: cluster.URL(), Linger: 10 * time.Millisecond})
		return brokertest.Subject{
			Nodes: []brokertest.Node{{Broker: a, History: a, Presence: a, Register: a}, {Broker: b, History: b, Presence: b, Register: b}},
			PublishBare: func(channel, payload string) {
				name := a.RedisName(channel)
				cluster.Owner(name).CLI("SPUBLISH", name, payload)
			},
		}
	})
}

func TestRedis_Sentinel(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	brokertest.Run(t, func(t *testing.T) brokertest.Subject {
		sentinel.Flush()
		a := newRedis(t, broker.RedisConfig{URL: sentinel.URL(), Linger: 10 * time.Millisecond})
		b := newRedis(t, broker.RedisConfig{URL: sentinel.URL(), Linger: 10 * time.Millisecond})
		return brokertest.Subject{Nodes: []brokertest.Node{{Broker: a, History: a, Presence: a, Register: a}, {Broker: b, History: b, Presence: b, Register: b}}}
	})
}

// must ends the test if there is an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
