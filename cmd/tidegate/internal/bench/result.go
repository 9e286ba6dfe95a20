package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Result is what a benchmark measured on one server. Counts that do not apply are 0; values
// that are not known are omitted from the JSON.
type Result struct {
	Sessions  int     `json:"sessions"`
	Seconds   float64 `json:"seconds"`
	Published uint64  `json:"published"`
	Delivered uint64  `json:"delivered"`

	// The unit is a delivery, a publication or a session; Unit tells which.
	CPUSeconds         float64  `json:"cpu_seconds,omitempty"`
	CPUMicros          float64  `json:"cpu_microseconds_per_unit,omitempty"`
	Unit               string   `json:"unit"`
	Units              uint64   `json:"units"`
	PerSecond          float64  `json:"units_per_second"`
	Memory             int64    `json:"memory_bytes,omitempty"`
	MemoryBefore       int64    `json:"memory_before_bytes,omitempty"`
	MemorySession      float64  `json:"memory_bytes_per_session,omitempty"`
	MemorySubscription float64  `json:"memory_bytes_per_subscription,omitempty"`
	LatencyMS          *Latency `json:"latency_ms,omitempty"`
	LatencyMeaning     string   `json:"latency_from,omitempty"`

	Lost     uint64   `json:"lost"`
	Repeated uint64   `json:"repeated"`
	Closed   int      `json:"closed"`
	Problems []string `json:"problems,omitempty"` // what did not go as requested
}

// count sets the number of units and the elapsed and CPU time that they took.
func (r *Result) count(unit string, units uint64, took time.Duration, cpu time.Duration) {
	r.Unit, r.Units, r.Seconds = unit, units, took.Seconds()
	r.PerSecond = float64(units) / took.Seconds()
	r.CPUSeconds = cpu.Seconds()
	if units > 0 {
		r.CPUMicros = float64(cpu.Nanoseconds()) / 1000 / float64(units)
	}
}

func (r *Result) miss(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// tableRow is a row of the table, which is omitted if its value is not known.
type tableRow struct {
	label  func(*Result) string
	value  func(*Result) (float64, bool) // reports false if the value is not known
	places int                           // decimals

	compared bool // whether the ratio to another server's value is meaningful
}

var tableRows = []tableRow{
	{named("sessions"), func(r *Result) (float64, bool) { return float64(r.Sessions), true }, 0, false},
	{named("seconds"), func(r *Result) (float64, bool) { return r.Seconds, true }, 1, false},
	{named("published"), func(r *Result) (float64, bool) { return float64(r.Published), r.Published > 0 }, 0, false},
	{func(r *Result) string { return plural(r.Unit) + " per second" }, func(r *Result) (float64, bool) { return r.PerSecond, r.Units > 0 }, 0, true},
	{func(r *Result) string { return "CPU per " + r.Unit + ", µs" }, func(r *Result) (float64, bool) { return r.CPUMicros, r.CPUMicros > 0 }, 2, true},
	{named("CPU in use, cores"), func(r *Result) (float64, bool) { return r.CPUSeconds / r.Seconds, r.CPUSeconds > 0 }, 2, false},
	{named("memory, MB"), func(r *Result) (float64, bool) { return float64(r.Memory) / 1e6, r.Memory > 0 }, 1, false},
	{named("memory per session, bytes"), func(r *Result) (float64, bool) { return r.MemorySession, r.MemorySession > 0 }, 0, true},
	{named("memory per subscription, bytes"), func(r *Result) (float64, bool) { return r.MemorySubscription, r.MemorySubscription > 0 }, 0, true},
	{named("latency p50, ms"), latencyOf(func(l *Latency) float64 { return l.P50 }), 2, true},
	{named("p90"), latencyOf(func(l *Latency) float64 { return l.P90 }), 2, true},
	{named("p99"), latencyOf(func(l *Latency) float64 { return l.P99 }), 2, true},
	{named("p99.9"), latencyOf(func(l *Latency) float64 { return l.P999 }), 2, true},
	{named("max"), latencyOf(func(l *Latency) float64 { return l.Max }), 2, true},
	{named("lost"), func(r *Result) (float64, bool) { return float64(r.Lost), r.Delivered > 0 || r.Lost > 0 }, 0, false},
	{named("repeated"), func(r *Result) (float64, bool) { return float64(r.Repeated), r.Repeated > 0 }, 0, false},
	{named("closed by the server"), func(r *Result) (float64, bool) { return float64(r.Closed), r.Closed > 0 }, 0, false},
}

func named(s string) func(*Result) string { return func(*Result) string { return s } }

func latencyOf(get func(*Latency) float64) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.LatencyMS == nil {
			return 0, false
		}
		return get(r.LatencyMS), true
	}
}

func plural(unit string) string {
	if stem, ok := strings.CutSuffix(unit, "y"); ok {
		return stem + "ies"
	}
	return unit + "s"
}

// figure formats a number with thousands separators.
func figure(v float64, places int) string {
	s := strconv.FormatFloat(v, 'f', places, 64)
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}
