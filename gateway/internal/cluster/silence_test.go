package cluster

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

func TestCluster_NodeThatWasStoppedItselfDeclaresNobodyDead(t *testing.T) {
	c := newTestCluster(func(string) {})
	c.meet(hello{Node: "other", LeaseMS: 30_000})

	woken := time.Now().Add(time.Minute)
	c.buryDead(woken)
	if got := c.Alive(); !slices.Equal(got, []string{"n0", "other"}) {
		t.Errorf("half a lease too late it takes %v for alive, want both", got)
	}
	c.buryDead(time.Now().Add(31 * time.Second))
	if got := c.Alive(); !slices.Equal(got, []string{"n0"}) {
		t.Errorf("in time it takes %v for alive, want itself", got)
	}
}

// In a Redis Cluster, only the shard of the nodes' channel may be away.
func TestCluster_NodeThatDoesNotHearItselfDeclaresNobodyDead(t *testing.T) {
	c := newTestCluster(func(string) {})
	c.meet(hello{Node: "other", LeaseMS: 30_000})
	c.greetAll(t.Context(), false)
	c.buryDead(time.Now().Add(31 * time.Second))
	if got := c.Alive(); !slices.Equal(got, []string{"n0", "other"}) {
		t.Errorf("unheard by itself it takes %v for alive, want both", got)
	}
	c.meet(*c.hello())
	c.buryDead(time.Now().Add(31 * time.Second))
	if got := c.Alive(); !slices.Equal(got, []string{"n0"}) {
		t.Errorf("when it hears itself it takes %v for alive, want itself", got)
	}
}

func TestCluster_TellsWhoIsGone(t *testing.T) {
	var gone []string
	c := newTestCluster(func(node string) { gone = append(gone, node) })
	for _, node := range []string{"dies", "leaves", "stays", "n0"} {
		c.meet(hello{Node: node, LeaseMS: 30_000})
	}
	c.part("leaves")
	c.part("leaves")
	c.part("never seen")
	c.meet(hello{Node: "stays", LeaseMS: 300_000})
	c.buryDead(time.Now().Add(31 * time.Second))
	if want := []string{"leaves", "dies"}; !slices.Equal(gone, want) {
		t.Errorf("gone: %v, want %v", gone, want)
	}
}

func newTestCluster(lost func(string)) *Cluster {
	return New(Config{
		Broker: broker.NewMemory(), Node: "n0", Lease: 30 * time.Second, Lost: lost, Died: func() {}, About: func() any { return nil },
		Explain: func(err error) *Failure { return failf("%v", err) }, Log: slog.New(slog.DiscardHandler), Wall: new(wall.Wall),
	})
}
