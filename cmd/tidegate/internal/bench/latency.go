package bench

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyRecorder collects latencies while it is on. It is safe for concurrent use.
type latencyRecorder struct {
	on     atomic.Bool
	shards [8]latencyShard
}

type latencyShard struct {
	mu     sync.Mutex
	values *hdrhistogram.Histogram // in microseconds
	_      [48]byte                // pads the shard to a cache line
}

const (
	longestLatency = int64(time.Minute / time.Microsecond)
	latencyDigits  = 3
)

func newLatencyRecorder() *latencyRecorder {
	l := &latencyRecorder{}
	for i := range l.shards {
		l.shards[i].values = hdrhistogram.New(1, longestLatency, latencyDigits)
	}
	return l
}

// record adds latencies. The number who distributes concurrent callers over the shards.
func (l *latencyRecorder) record(who int, latencies ...time.Duration) {
	if !l.on.Load() {
		return
	}
	shard := &l.shards[who%len(l.shards)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for _, latency := range latencies {
		_ = shard.values.RecordValue(min(latency.Microseconds(), longestLatency)) // in range
	}
}

// summary returns the quantiles of the recorded latencies, or nil if there are none.
func (l *latencyRecorder) summary() *Latency {
	all := hdrhistogram.New(1, longestLatency, latencyDigits)
	for i := range l.shards {
		l.shards[i].mu.Lock()
		all.Merge(l.shards[i].values)
		l.shards[i].mu.Unlock()
	}
	if all.TotalCount() == 0 {
		return nil
	}
	at := func(quantile float64) float64 { return float64(all.ValueAtQuantile(quantile)) / 1000 }
	return &Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(all.Max()) / 1000}
}

// Latency has quantiles of latencies, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}
