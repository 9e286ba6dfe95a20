package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// registrar creates and registers metrics.
type registrar struct{ promauto.Factory }

func (r registrar) counter(name, help string) prometheus.Counter {
	return r.NewCounter(prometheus.CounterOpts{Name: "tidegate_" + name, Help: help})
}

func (r registrar) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return r.NewCounterVec(prometheus.CounterOpts{Name: "tidegate_" + name, Help: help}, labels)
}

func (r registrar) latencies(name, help string, labels ...string) *prometheus.HistogramVec {
	return r.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tidegate_" + name, Help: help,
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}, labels)
}

func (r registrar) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return r.NewGaugeVec(prometheus.GaugeOpts{Name: "tidegate_" + name, Help: help}, labels)
}

// tracked registers a gauge whose value is read at each scrape.
func (r registrar) tracked(name, help string, read func() float64) {
	r.NewGaugeFunc(prometheus.GaugeOpts{Name: "tidegate_" + name, Help: help}, read)
}

// Counters are a counter for each value of a label, which must be of a fixed set.
type Counters struct{ by *prometheus.CounterVec }

// Prepare creates the counters of these values with 0, so that the first count shows as an increase.
func (c Counters) Prepare(values ...string) {
	for _, value := range values {
		c.by.WithLabelValues(value)
	}
}

// Count adds one to the counter of a value.
func (c Counters) Count(value string) { c.by.WithLabelValues(value).Inc() }
