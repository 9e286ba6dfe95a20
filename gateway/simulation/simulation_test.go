// Package simulation tells stories of whole clusters: real nodes, with the real Redis
// broker, a model of Redis, clients and publishers, in one process under virtual time,
// and faults that overlap. All that is arbitrary in a story follows from its seed.
package simulation_test

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "tell the story of this seed alone")
	seedsFlag = flag.Uint64("sim.seeds", 0, "tell the stories of so many seeds, from -sim.from on")
	fromFlag  = flag.Uint64("sim.from", 1, "see -sim.seeds")
	faultFlag = flag.String("sim.faults", "", "with -sim.seed: of its faults only these, such as 3,7; none: 0")
	shorten   = flag.Duration("sim.shrink", 2*time.Minute, "how long to look for a shorter story that breaks the law")
)

// always are the seeds that are told in each run: the first, and those whose stories
// have once broken the law.
var always = []uint64{1, 21, 22, 153, 380}

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
func tellSeed(t *testing.T, seed uint64) *world {
	w := tellOnce(t, seed, wantedFaults(t))
	if len(w.wrong) > 0 {
		short := shrink(t, w)
		t.Errorf("%s\n\nThe story breaks the law %d times, the one that is told here %d times "+
			"(replay: go test ./gateway/simulation -run TestSimulation -sim.seed=%d -sim.faults=%s), first:\n%s",
			short.story(), len(w.wrong), len(short.wrong), seed, numbers(short.plan), short.wrong[0])
	}
	return w
}

func tellOnce(t *testing.T, seed uint64, only []int) (w *world) {
	cryptotest.SetGlobalRandom(t, seed)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { w = tell(t, seed, only) })
	t.Logf("told with %d faults in %v, digest %x", len(w.plan), time.Since(began).Round(time.Millisecond), w.digest())
	return w
}

// wantedFaults returns the faults that are asked for; nil: all.
func wantedFaults(t *testing.T) (only []int) {
	if *faultFlag == "" {
		return nil
	}
	for word := range strings.SplitSeq(*faultFlag, ",") {
		number, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("-sim.faults: %v", err)
		}
		only = append(only, number)
	}
	return only
}

// numbers names the faults of a plan.
func numbers(plan []blow) string {
	if len(plan) == 0 {
		return "0"
	}
	words := make([]string, len(plan))
	for i, b := range plan {
		words[i] = strconv.Itoa(b.number)
	}
	return strings.Join(words, ",")
}

// shrink tells the story without some of its faults, many at first, and returns the
// shortest one that has still broken the law.
func shrink(t *testing.T, w *world) *world {
	end := time.Now().Add(*shorten)
	for n := len(w.plan); n > 0; n /= 2 {
		for at := 0; at+n <= len(w.plan) && time.Now().Before(end); {
			only := []int{0}
			for i, b := range w.plan {
				if i < at || i >= at+n {
					only = append(only, b.number)
				}
			}
			if shorter := tellOnce(t, w.seed, only); len(shorter.wrong) > 0 {
				w = shorter
			} else {
				at += n
			}
		}
	}
	return w
}
