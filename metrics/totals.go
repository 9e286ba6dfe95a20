package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Totals are what a node has counted until now, of what tells how busy it is.
type Totals struct {
	Opened    float64 // sessions
	Published float64 // messages that the broker has confirmed
	Failed    float64 // publishes that were not
	Received  float64 // messages from the broker
	Delivered float64 // messages to sessions
	Bytes     float64 // to sessions

	Delivery  Spread // from the broker's receipt to the socket, of a sample
	RoundTrip Spread // of the broker
}

// Totals reads them.
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

// Spread says how often something took how long: how many took at most so many seconds,
// by bounds that ascend. The zero value is of nothing.
type Spread struct {
	bounds []float64
	counts []uint64 // cumulative
	all    uint64
}

// Since returns what has come since s was before.
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

// Within returns the least bound within which so much of all stayed, 0.99 for 99 of 100;
// 0 if there is nothing. What took longer than the last bound is said to have taken that.
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

// each reads the series of a collector.
func each(c prometheus.Collector, do func(*dto.Metric)) {
	series := make(chan prometheus.Metric)
	go func() {
		defer close(series)
		c.Collect(series)
	}()
	for one := range series {
		var read dto.Metric
		if one.Write(&read) == nil { // it fails for series that are not made right
			do(&read)
		}
	}
}
