// Package simulation tells stories of whole clusters: real nodes, with the real Redis
// broker, a model of Redis, clients and publishers, in one process under virtual time,
// and faults that overlap. All that is arbitrary in a story follows from its seed.
package simulation_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "tell the story of this seed alone")
	seedsFlag = flag.Uint64("sim.seeds", 0, "tell the stories of so many seeds, from -sim.from on")
	fromFlag  = flag.Uint64("sim.from", 1, "see -sim.seeds")
)

// always are the seeds that are told in each run: the first, and those whose stories
// have once broken the law.
var always = []uint64{1, 21, 22, 153}

// enough is how many stories from the first on see together all that is rare.
const enough = 14

func TestSimulation(t *testing.T) {
	seeds := always
	switch {
	case *seedFlag != 0:
		seeds = []uint64{*seedFlag}
	case *seedsFlag != 0:
		seeds = nil
		for i := range *seedsFlag {
			seeds = append(seeds, *fromFlag+i)
		}
	}
	seen := make(map[string]int)
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			for what, times := range tellSeed(t, seed).seen {
				seen[what] += times
			}
		})
	}
	logSeen(t, seen)
	if *fromFlag == 1 && *seedsFlag >= enough {
		checkSeen(t, seen)
	}
}

// tellSeed tells the story of a seed, and has the test fail if it breaks the law.
func tellSeed(t *testing.T, seed uint64) (w *world) {
	cryptotest.SetGlobalRandom(t, seed)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { w = tell(t, seed) })
	t.Logf("told in %v, digest %x", time.Since(began).Round(time.Millisecond), w.digest())
	if len(w.wrong) > 0 {
		t.Errorf("%s\n\nThe story breaks the law %d times (replay: go test ./gateway/simulation -run TestSimulation -sim.seed=%d), first:\n%s",
			w.story(), len(w.wrong), seed, w.wrong[0])
	}
	return w
}
