package bench

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyRecorder collects latencies while it is on. It is safe for concurrent use.
type latencyRecorder struct {
	on atomic.Bool

	mu     sync.Mutex
	values *hdrhistogram.Histogram // in microseconds; guarded by mu
}

const longestLatency = int64(time.Minute / time.Microsecond)

func newLatencyRecorder() *latencyRecorder {
	const digits = 3
	return &latencyRecorder{values: hdrhistogram.New(1, longestLatency, digits)}
}

func (l *latencyRecorder) record(latencies ...time.Duration) {
	if !l.on.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, latency := range latencies {
		_ = l.values.RecordValue(min(latency.Microseconds(), longestLatency)) // in range
	}
}

// summary returns the quantiles of the recorded latencies, or nil if there are none.
func (l *latencyRecorder) summary() *Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values.TotalCount() == 0 {
		return nil
	}
	at := func(quantile float64) float64 { return float64(l.values.ValueAtQuantile(quantile)) / 1000 }
	return &Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(l.values.Max()) / 1000}
}

// Latency has quantiles of latencies, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}
