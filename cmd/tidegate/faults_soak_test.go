package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// TestSoak has a storm last for as long as SOAK says, such as 72h, on each kind of Redis,
// and holds to their bounds what nodes and Redis have more of in the end than in the
// beginning. Every minute all is mended, each client's log is compared with what was
// published, and the figures are written to SOAK_TABLE.standalone and so on. Two of the
// three nodes live to the end. FAULT_SEED chooses what goes wrong.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		return
	}
	long, err := time.ParseDuration(os.Getenv("SOAK"))
	must(t, err)
	brokertest.RequireRedis(t)
	seed := seedOf(t)
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.soak(t, rand.New(rand.NewPCG(seed, uint64(len(k.name)))), long)
		})
	}
}

// soakFor is how long it storms before all is mended and looked at.
const soakFor = time.Minute

// soakPace is the time between two messages of a stream: a light load, for days.
const soakPace = 200 * time.Millisecond

func (k *kind) soak(t *testing.T, random *rand.Rand, long time.Duration) {
	s := k.stage(t)
	s.addStreams()
	for _, st := range s.streams {
		st.every = soakPace
	}
	s.loadStreams()
	s.settle()
	r := &record{t: t, began: time.Now(), path: os.Getenv("SOAK_TABLE"), kind: k.name}
	t.Cleanup(r.conclude)
	for time.Since(r.began) < long {
		strikes := k.storm(random, soakFor)
		for i := range strikes {
			if what := strikes[i].what; what == nodeIsKilled || what == nodeDrains {
				strikes[i].node = stormNodes - 1
			}
		}
		happened := s.rage(strikes)
		r.add(happened, s.settle(strikes...), s.sample())
	}
}

// measure is something of which there is not to be more and more.
type measure struct {
	name  string
	unit  float64
	spare float64 // how much more there may be, beside a quarter
}

// Of each node, then of all Redis servers together.
var (
	nodeMeasures = []measure{
		{"RSS, MB", 1 << 20, 8}, {"live heap, MB", 1 << 20, 2}, {"goroutines", 1, 20}, {"descriptors", 1, 15},
	}
	redisMeasure = measure{"Redis, MB", 1 << 20, 4}
)

// sample returns what the nodes that live to the end and Redis have now, measure by
// measure. What is garbage is not counted in the live heap.
func (s *storm) sample() (values []float64) {
	s.t.Helper()
	for _, n := range s.nodes[:stormNodes-1] {
		eventually(s.t, n.internal("/debug/pprof/heap?gc=1"), http.StatusOK)
		text := eventually(s.t, n.internal("/metrics"), http.StatusOK)
		for _, name := range []string{"process_resident_memory_bytes", "go_memstats_heap_alloc_bytes", "go_goroutines", "process_open_fds"} {
			values = append(values, metricIn(s.t, text, name))
		}
	}
	return append(values, s.usedByRedis())
}

var usedMemory = regexp.MustCompile(`used_memory:(\d+)`)

func (s *storm) usedByRedis() (sum float64) {
	s.t.Helper()
	for _, server := range s.redis {
		said, err := server.Try("INFO", "memory")
		if found := usedMemory.FindStringSubmatch(said); err == nil && found != nil {
			n, _ := strconv.ParseFloat(found[1], 64)
			sum += n
		}
	}
	return sum
}

// record is what a soak has seen so far.
type record struct {
	t          *testing.T
	began      time.Time
	path, kind string

	at                 []time.Duration
	rows               []string
	series             [][]float64 // of each measure, at those times
	mishaps, published int
	silent, twice      int
}

func measures() (list []measure) {
	for node := range stormNodes - 1 {
		for _, m := range nodeMeasures {
			m.name = fmt.Sprintf("node %d: %s", node, m.name)
			list = append(list, m)
		}
	}
	return append(list, redisMeasure)
}

func (r *record) add(happened int, o outcomes, values []float64) {
	r.at = append(r.at, time.Since(r.began))
	r.series = append(r.series, values)
	r.mishaps, r.published, r.silent, r.twice = r.mishaps+happened, r.published+o.published, r.silent+o.silent, r.twice+o.twice
	row := fmt.Sprintf("| %.1f | %d | %d | %d | %d | %d |", time.Since(r.began).Minutes(), happened, o.published, o.silent, o.twice, o.told)
	for i, m := range measures() {
		row += fmt.Sprintf(" %.5g |", values[i]/m.unit)
	}
	r.t.Log(row)
	r.rows = append(r.rows, row)
	r.write()
}

// write writes what there is until now.
func (r *record) write() {
	if r.path == "" {
		return
	}
	head := "| minute | mishaps | confirmed | lost in silence | twice | gaps told |"
	for _, m := range measures() {
		head += " " + m.name + " |"
	}
	line := strings.Repeat("|---", 6+len(measures())) + "|"
	put(r.t, r.path+"."+r.kind, r.summary()+"\n"+strings.Join(append([]string{head, line}, r.rows...), "\n")+"\n")
}

// summary says how much more there is of everything.
func (r *record) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v with %s: %d mishaps, %d publishes confirmed, %d lost in silence, %d twice\n\n",
		time.Since(r.began).Round(time.Second), r.kind, r.mishaps, r.published, r.silent, r.twice)
	b.WriteString("| what | at first | more an hour | of it in all | at most |\n|---|---|---|---|---|\n")
	for i, m := range measures() {
		g := r.growthOf(i)
		fmt.Fprintf(&b, "| %s | %.1f | %+.2f | %+.2f | %.1f |\n", m.name, g.first/m.unit, g.hourly/m.unit, g.whole/m.unit, m.most(g.first)/m.unit)
	}
	return b.String()
}

// most is how much more there may be in the end.
func (m measure) most(first float64) float64 { return first/4 + m.spare*m.unit }

// conclude holds the growth to its bounds.
func (r *record) conclude() {
	if len(r.at) < 3 {
		r.t.Errorf("%d rounds are too few to say anything", len(r.at))
		return
	}
	r.write()
	r.t.Logf("\n%s", r.summary())
	for i, m := range measures() {
		if g := r.growthOf(i); g.whole > m.most(g.first) {
			r.t.Errorf("%s has grown from %.1f by %.1f", m.name, g.first/m.unit, g.whole/m.unit)
		}
	}
}

// warmUp is when histories are full, keys of publishes run out, and heaps have their size.
const warmUp = 15 * time.Minute

// growthOf fits the i-th measure from when all is warm, at the latest from the first
// quarter on.
func (r *record) growthOf(i int) growth {
	warm := min(warmUp, r.at[len(r.at)-1]/4)
	from, _ := slices.BinarySearch(r.at, warm)
	values := make([]float64, 0, len(r.at)-from)
	for _, s := range r.series[from:] {
		values = append(values, s[i])
	}
	return fit(r.at[from:], values)
}

// growth is a line through values: where it begins, and by how much it rises.
type growth struct{ first, hourly, whole float64 }

// fit returns the line with the least squares.
func fit(at []time.Duration, values []float64) growth {
	var meanX, meanY, squares, products float64
	for i := range at {
		meanX += at[i].Hours() / float64(len(at))
		meanY += values[i] / float64(len(at))
	}
	for i := range at {
		x := at[i].Hours() - meanX
		squares += x * x
		products += x * (values[i] - meanY)
	}
	hourly := products / cmp.Or(squares, math.Inf(1))
	whole := hourly * (at[len(at)-1] - at[0]).Hours()
	return growth{meanY + hourly*(at[0].Hours()-meanX), hourly, whole}
}

func TestSoak_FindsWhatGrows(t *testing.T) {
	at := []time.Duration{0, 20 * time.Minute, 40 * time.Minute, time.Hour}
	for _, c := range []struct {
		name   string
		values []float64
		want   growth
	}{
		{"stays", []float64{7, 7, 7, 7}, growth{7, 0, 0}},
		{"rises", []float64{10, 11, 12, 13}, growth{10, 3, 3}},
		{"falls, and wavers", []float64{10, 5, 8, 3}, growth{9.2, -5.4, -5.4}},
	} {
		got := fit(at, c.values)
		for _, off := range []float64{got.first - c.want.first, got.hourly - c.want.hourly, got.whole - c.want.whole} {
			if math.Abs(off) > 1e-9 {
				t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
			}
		}
	}
}
