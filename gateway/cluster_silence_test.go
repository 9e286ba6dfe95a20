package gateway

import (
	"slices"
	"testing"
	"time"

	"tidegate/broker"
)

func TestCluster_NodeThatWasStoppedItselfDeclaresNobodyDead(t *testing.T) {
	g, err := New(Config{Broker: broker.NewMemory(), Node: "n0"})
	if err != nil {
		t.Fatal(err)
	}
	g.noteLink(nil)
	g.cluster.meet(hello{Node: "other", LeaseMS: 30_000})

	woken := time.Now().Add(time.Minute)
	g.cluster.buryDead(woken)
	if got := g.alive(); !slices.Equal(got, []string{"n0", "other"}) {
		t.Errorf("half a lease too late it takes %v for alive, want both", got)
	}
	g.cluster.buryDead(time.Now().Add(31 * time.Second))
	if got := g.alive(); !slices.Equal(got, []string{"n0"}) {
		t.Errorf("in time it takes %v for alive, want itself", got)
	}
}

func TestCluster_TellsWhoIsGone(t *testing.T) {
	g, err := New(Config{Broker: broker.NewMemory(), Node: "n0"})
	if err != nil {
		t.Fatal(err)
	}
	g.noteLink(nil)
	var gone []string
	g.onNodeGone = func(node string) { gone = append(gone, node) }
	for _, node := range []string{"dies", "leaves", "stays", "n0"} {
		g.cluster.meet(hello{Node: node, LeaseMS: 30_000})
	}
	g.cluster.part("leaves")
	g.cluster.part("leaves")
	g.cluster.part("never seen")
	g.cluster.meet(hello{Node: "stays", LeaseMS: 300_000})
	g.cluster.buryDead(time.Now().Add(31 * time.Second))
	if want := []string{"leaves", "dies"}; !slices.Equal(gone, want) {
		t.Errorf("gone: %v, want %v", gone, want)
	}
}
