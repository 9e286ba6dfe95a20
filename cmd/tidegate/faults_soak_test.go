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

// TestSoak runs a storm of faults on each kind of Redis for the duration in SOAK, such as 72h,
// and fails if the resource usage of the nodes or of Redis grows too much. After each minute,
// all faults are repaired, each client's log is compared with what was published, and the
// results are written to SOAK_TABLE.standalone and so on. Two of the three nodes run until the
// end. FAULT_SEED selects the faults.
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

// soakFor is how long faults are injected before they are repaired and the results checked.
const soakFor = time.Minute

// soakPace is the time between two messages of a stream. The load is light, to run for days.
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

// measure is the usage of a resource, which must not keep growing.
type measure struct {
	name  string
	unit  float64
	spare float64 // permitted growth in units, in addition to a quarter of the initial value
}

// Measures of each node, and of all Redis servers together.
var (
	nodeMeasures = []measure{
		{"RSS, MB", 1 << 20, 8}, {"live heap, MB", 1 << 20, 2}, {"goroutines", 1, 20}, {"descriptors", 1, 15},
	}
	redisMeasure = measure{"Redis, MB", 1 << 20, 4}
)

// sample returns the current values of all measures. It makes the nodes collect garbage first,
// so that the live heap does not include any.
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

// record holds the results of a soak so far.
type record struct {
	t          *testing.T
	began      time.Time
	path, kind string

	at                 []time.Duration
	rows               []string
	series             [][]float64 // values of all measures, at those times
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

// write writes the results so far to the file, if there is one.
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

// summary returns the totals, and a table of the growth of each measure.
func (r *record) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v with %s: %d mishaps, %d publishes confirmed, %d lost in silence, %d twice\n\n",
		time.Since(r.began).Round(time.Second), r.kind, r.mishaps, r.published, r.silent, r.twice)
	b.WriteString("| what | start | growth per hour | total growth | allowed growth |\n|---|---|---|---|---|\n")
	for i, m := range measures() {
		g := r.growthOf(i)
		fmt.Fprintf(&b, "| %s | %.1f | %+.2f | %+.2f | %.1f |\n", m.name, g.first/m.unit, g.hourly/m.unit, g.whole/m.unit, m.most(g.first)/m.unit)
	}
	return b.String()
}

// most returns the permitted growth, given the initial value.
func (m measure) most(first float64) float64 { return first/4 + m.spare*m.unit }

// conclude fails the test for each measure that has grown too much.
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

// warmUp is the time after which histories are full, idempotency keys expire as fast as new ones
// are created, and heaps have reached their size.
const warmUp = 15 * time.Minute

// growthOf returns the growth of the i-th measure after the warm-up, which is at most the first
// quarter of the soak.
func (r *record) growthOf(i int) growth {
	warm := min(warmUp, r.at[len(r.at)-1]/4)
	from, _ := slices.BinarySearch(r.at, warm)
	values := make([]float64, 0, len(r.at)-from)
	for _, s := range r.series[from:] {
		values = append(values, s[i])
	}
	return fit(r.at[from:], values)
}

// growth is a line through values: its initial value, its slope per hour, and its total rise.
type growth struct{ first, hourly, whole float64 }

// fit returns the line that fits the values by least squares.
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
