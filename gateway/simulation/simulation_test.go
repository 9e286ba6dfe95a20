// Package simulation simulates whole clusters: real nodes with the real Redis broker, a model
// of Redis, clients and publishers, in one process under virtual time, with overlapping faults.
// A story is one such run. All its random choices derive from its seed.
package simulation_test

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"slices"
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
	fromFlag  = flag.Uint64("sim.from", 1, "the first seed of -sim.seeds, and of TestMutants_AreFound")
	faultFlag = flag.String("sim.faults", "", "with -sim.seed: of its faults only these, such as 3,7; none: 0")
	lastsFlag = flag.Duration("sim.lasts", usually, "for how long there are faults")
	settleFor = flag.Duration("sim.settles", 75*time.Second, "how long it is quiet after the last one: the law needs all of it")
	tellFlag  = flag.Bool("sim.tell", false, "print each story, also if it breaks no law")
	shorten   = flag.Duration("sim.shrink", 2*time.Minute, "how long to look for a shorter story that breaks the law")
)

// usually is the default duration of the faults.
const usually = 90 * time.Second

// always are the seeds of each test run: the first, and those whose stories have broken the
// law before.
var always = []uint64{1, 21, 22, 153, 380}

// enough is the number of stories, from the first on, that together see all rare events.
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
	var by teller = tellHere
	if *exactFlag {
		by = newExact(t, *orderFlag, wantedLengths()).tell
	}
	seen := make(map[string]int)
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			for what, times := range tellSeed(t, by, seed).Seen {
				seen[what] += times
			}
		})
	}
	logSeen(t, seen)
	if *fromFlag == 1 && *seedsFlag >= enough {
		checkSeen(t, seen)
	}
}

// account is the result of a story.
type account struct {
	Plan  []int          // numbers of its faults
	Lines []string       // what happened
	Seen  map[string]int // counts of rare events
	Wrong []string       // violations of the law
}

func (a account) story() string { return strings.Join(a.Lines, "\n") }

// digest returns a hash of the lines, which is equal for identical runs.
func (a account) digest() uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(a.story()))
	return hash.Sum64()
}

// teller runs the story of a seed, with the faults whose numbers are in only, or with all if
// only is nil.
type teller func(t *testing.T, seed uint64, only []int) account

// tellSeed runs the story of a seed. If it breaks the law, tellSeed shrinks it and fails the
// test.
func tellSeed(t *testing.T, by teller, seed uint64) account {
	a := by(t, seed, wantedFaults(t))
	if *tellFlag {
		t.Logf("the story:\n%s", a.story())
	}
	if len(a.Wrong) > 0 {
		short := shrink(t, by, seed, a)
		t.Errorf("%s\n\nThe story breaks the law %d times, the one that is told here %d times "+
			"(replay: go test ./gateway/simulation -run TestSimulation %s), first:\n%s",
			short.story(), len(a.Wrong), len(short.Wrong), replay(seed, short.Plan), short.Wrong[0])
	}
	return a
}

// replay returns the flags that run a story again.
func replay(seed uint64, plan []int) string {
	flags := fmt.Sprintf("-sim.seed=%d -sim.faults=%s", seed, numbers(plan))
	if *exactFlag {
		flags += fmt.Sprintf(" -sim.exact -sim.order=%d", *orderFlag)
	}
	if *lastsFlag != usually {
		flags += fmt.Sprintf(" -sim.lasts=%v", *lastsFlag)
	}
	return flags
}

// tellHere is a teller that uses this process. The runtime decides the order of simultaneous
// events.
func tellHere(t *testing.T, seed uint64, only []int) account {
	cryptotest.SetGlobalRandom(t, seed)
	began := time.Now()
	var w *world
	g := &guard{seed: seed}
	ctx, end := context.WithCancel(t.Context())
	go g.watch(ctx)
	synctest.Test(t, func(t *testing.T) { w = tell(t, g, wantedLengths(), only) })
	end()
	a := w.account()
	t.Logf("told with %d faults in %v, digest %x", len(a.Plan), time.Since(began).Round(time.Millisecond), a.digest())
	return a
}

func wantedLengths() lengths { return lengths{faults: *lastsFlag, settling: *settleFor} }

// wantedFaults returns the numbers of the faults that -sim.faults selects, or nil for all.
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

// numbers formats the faults of a plan for -sim.faults.
func numbers(plan []int) string {
	if len(plan) == 0 {
		return "0"
	}
	words := make([]string, len(plan))
	for i, number := range plan {
		words[i] = strconv.Itoa(number)
	}
	return strings.Join(words, ",")
}

// shrink runs the story without some of its faults, first without many, then without few. It
// returns the shortest story that still breaks the law.
func shrink(t *testing.T, by teller, seed uint64, a account) account {
	end := time.Now().Add(*shorten)
	for n := len(a.Plan); n > 0; n /= 2 {
		for at := 0; at+n <= len(a.Plan) && time.Now().Before(end); {
			only := append(slices.Clone(a.Plan[:at]), a.Plan[at+n:]...)
			if shorter := by(t, seed, only); len(shorter.Wrong) > 0 {
				a = shorter
			} else {
				at += n
			}
		}
	}
	return a
}
