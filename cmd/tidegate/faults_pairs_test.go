package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// kind is a kind of Redis with the faults that can occur there.
type kind struct {
	name    string
	stage   func(*testing.T) *storm
	mishaps []*mishap
	pairs   []pair
	stories []story // always run
}

func kinds() []*kind {
	alone := slices.Concat(nodeMishaps, masterMishaps, onRedisAlone)
	return []*kind{
		{"standalone", stormOnRedis, alone, pairsOf(alone, nil), storiesAlone},
		{"Sentinel", stormOnSentinel, slices.Concat(nodeMishaps, masterMishaps, onASentinel), pairsOf(onASentinel, weightyOfThem), storiesOfASentinel},
		{"Cluster", stormOnCluster, slices.Concat(nodeMishaps, masterMishaps, onACluster), pairsOf(onACluster, weightyOfThem), storiesOfACluster},
	}
}

// somePairs is the number of pairs tried if not all are.
const somePairs = 1

// pair is two faults at the same time.
type pair struct{ first, second *mishap }

// pairsOf returns each pair of these, including each with itself, and each of these with
// each of the others.
func pairsOf(these, others []*mishap) (pairs []pair) {
	for i, one := range these {
		for _, other := range slices.Concat(these[i:], others) {
			pairs = append(pairs, pair{one, other})
		}
	}
	return pairs
}

// TestFaults_Overlap injects several faults at the same time on each kind of Redis: its
// stories, and the pairs that FAULT_SEED selects. FAULT_PAIRS=all runs all pairs,
// FAULT_PAIRS=Cluster those of one kind, and FAULT_PART=2/4 the second quarter of them.
// FAULT_STORM=4m adds about 45 faults in four minutes. FAULT_TABLE=faults.md writes the
// results to faults.md.Cluster and so on, row by row. FAULT_LOGS names a folder for the
// logs of the nodes if the test fails.
func TestFaults_Overlap(t *testing.T) {
	brokertest.RequireRedis(t)
	seed := seedOf(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.try(t, rand.New(rand.NewPCG(seed, uint64(len(k.name)))))
		})
	}
}

func seedOf(t *testing.T) uint64 {
	seed := uint64(1) // fixed, so that a new failure has a cause in the code
	if given := os.Getenv("FAULT_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FAULT_SEED=%d", seed)
	return seed
}

func (k *kind) try(t *testing.T, random *rand.Rand) {
	pairs := k.chosen(t, random)
	s := k.stage(t)
	s.load()
	s.settle()
	table := table{t: t, kind: k.name}
	for _, told := range k.stories {
		s.rage(told.strikes)
		table.add(s.settle(told.strikes...).row(told.name))
	}
	for _, p := range pairs {
		strikes := p.strikes(random)
		t.Log(strikes)
		s.rage(strikes)
		table.add(s.settle(strikes...).row(p.first.name, p.second.name))
	}
	if d, err := time.ParseDuration(os.Getenv("FAULT_STORM")); err == nil {
		strikes := k.storm(random, d)
		happened := s.rage(strikes)
		table.add(s.settle(strikes...).row(fmt.Sprintf("%d of all these in %v", happened, d)))
	}
}

// chosen returns the pairs that the environment selects.
func (k *kind) chosen(t *testing.T, random *rand.Rand) []pair {
	pairs := slices.Clone(k.pairs)
	random.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if of := os.Getenv("FAULT_PAIRS"); of != "all" && of != k.name {
		return pairs[:somePairs]
	}
	part := os.Getenv("FAULT_PART")
	if part == "" {
		return pairs
	}
	var n, parts int
	if _, err := fmt.Sscanf(part, "%d/%d", &n, &parts); err != nil || n < 1 || n > parts {
		t.Fatalf("FAULT_PART=%s: want 1/4, say, or 4/4", part)
	}
	return pairs[(n-1)*len(pairs)/parts : n*len(pairs)/parts]
}

// table holds the results so far.
type table struct {
	t    *testing.T
	kind string
	rows []string
}

func (a *table) add(row string) {
	a.t.Log(row)
	a.rows = append(a.rows, row)
	if path := os.Getenv("FAULT_TABLE"); path != "" {
		put(a.t, path+"."+a.kind, pairsHead+strings.Join(a.rows, "\n")+"\n")
	}
}

// strikes returns two strikes of which the second begins while the first lasts. If both
// concern nodes, they concern different ones.
func (p pair) strikes(random *rand.Rand) []strike {
	node := random.IntN(stormNodes)
	first, second := p.first.at(0, node, random), p.second.at(0, (node+1)%stormNodes, random)
	if first.lasts > 0 {
		second.at = time.Duration(random.Int64N(int64(first.lasts)))
	}
	return []strike{first, second}
}

// at returns a strike with a random duration.
func (m *mishap) at(at time.Duration, node int, random *rand.Rand) strike {
	k := strike{what: m, node: node, at: at, lasts: m.least}
	if m.most > m.least {
		k.lasts += time.Duration(random.Int64N(int64(m.most - m.least)))
	}
	return k
}

// stormEvery is the interval between faults in a storm. Two or three last at the same time.
const stormEvery = 4 * time.Minute / 45

func (k *kind) storm(random *rand.Rand, d time.Duration) (strikes []strike) {
	for at := time.Duration(0); at < d; at += stormEvery {
		what := k.mishaps[random.IntN(len(k.mishaps))]
		strikes = append(strikes, what.at(at, random.IntN(stormNodes), random))
	}
	return strikes
}
