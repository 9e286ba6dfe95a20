package metrics

import "github.com/prometheus/client_golang/prometheus"

// Recovery counts losses and repairs.
type Recovery struct {
	Recovered    prometheus.Counter // subscribes with a cursor that recovered everything
	NotRecovered prometheus.Counter // subscribes with a cursor that did not
	Repaired     prometheus.Counter // gaps closed from the history
	Told         prometheus.Counter // gaps reported to clients
	HistoryReads prometheus.Counter
}

func newRecovery(r registrar) Recovery {
	recoveries := r.counters("recoveries_total", "Subscribes with a cursor by clients that had missed messages, by whether all of them were recovered.", "result")
	gaps := r.counters("gaps_total", "Gaps found in channels, by whether the node repaired them.", "repaired")
	return Recovery{
		Recovered:    recoveries.WithLabelValues("recovered"),
		NotRecovered: recoveries.WithLabelValues("lost"),
		Repaired:     gaps.WithLabelValues("true"),
		Told:         gaps.WithLabelValues("false"),
		HistoryReads: r.counter("history_reads_total", "Range reads of channels' histories."),
	}
}
