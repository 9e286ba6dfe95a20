package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Totals are the values that show how busy a node is, counted since it started.
type Totals struct {
	Opened    float64 // sessions
	Published float64 // messages confirmed by the broker
	Failed    float64 // publishes that were not confirmed
	Received  float64 // messages from the broker
	Delivered float64 // messages to sessions
	Bytes     float64 // written to sessions

	Delivery  Spread // from the receipt from the broker to the socket, for a sample
	RoundTrip Spread // of requests to the broker
}

// Totals returns the current values.
func (m *Metrics) Totals() Totals {
	t := Totals{
		Opened: sum(m.Sessions.opened), Received: sum(m.Messages.received), Delivered: sum(m.Messages.delivered),
		Bytes: sum(m.Messages.Bytes), Delivery: spread(m.Messages.delivery), RoundTrip: spread(m.Broker.roundTrip),
	}
	each(m.Messages.publish, func(one *dto.Metric) {
		n := float64(one.GetHistogram().GetSampleCount())
		if one.GetLabel()[0].GetValue() == "ok" {
			t.Published += n
		} else {
			t.Failed += n
		}
	})
	return t
}

// Spread is a histogram of durations. For each of the ascending bounds, in seconds, it has
// the number of durations up to that bound. The zero value is empty.
type Spread struct {
	bounds []float64
	counts []uint64 // cumulative
	all    uint64
}

// Since returns the durations that s has in addition to before, an earlier value.
func (s Spread) Since(before Spread) Spread {
	if before.counts == nil {
		return s
	}
	since := Spread{bounds: s.bounds, counts: make([]uint64, len(s.counts)), all: s.all - before.all}
	for i := range s.counts {
		since.counts[i] = s.counts[i] - before.counts[i]
	}
	return since
}

// Within returns the smallest bound that covers the given share of the durations, such as
// 0.99, or 0 if s is empty. If that share includes durations above the last bound, it
// returns the last bound.
func (s Spread) Within(share float64) time.Duration {
	if s.all == 0 {
		return 0
	}
	last := len(s.bounds) - 1
	for i := range last {
		if float64(s.counts[i]) >= share*float64(s.all) {
			return seconds(s.bounds[i])
		}
	}
	return seconds(s.bounds[last])
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func spread(c prometheus.Collector) (s Spread) {
	each(c, func(one *dto.Metric) {
		for _, bucket := range one.GetHistogram().GetBucket() {
			s.bounds = append(s.bounds, bucket.GetUpperBound())
			s.counts = append(s.counts, bucket.GetCumulativeCount())
		}
		s.all = one.GetHistogram().GetSampleCount()
	})
	return s
}

func sum(c prometheus.Collector) (total float64) {
	each(c, func(one *dto.Metric) { total += one.GetCounter().GetValue() })
	return total
}

// each calls do for each series of a collector.
func each(c prometheus.Collector, do func(*dto.Metric)) {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		c.Collect(series)
	}()
	for one := range series {
		var read dto.Metric
		if one.Write(&read) == nil { // fails only for an invalid series
			do(&read)
		}
	}
}
