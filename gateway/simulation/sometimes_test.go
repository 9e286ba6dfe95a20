package simulation_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// count adds what a node has counted to what was seen, when it has ended. One that was
// drained holds nothing any more.
func (w *world) count(n *node) {
	families, err := n.metrics.Gatherer().Gather()
	if err != nil {
		w.blame("metrics: %v", err)
		return
	}
	n.mu.Lock()
	killed := n.dead
	n.mu.Unlock()
	for _, family := range families {
		name := strings.TrimPrefix(family.GetName(), "tidegate_")
		for _, m := range family.GetMetric() {
			times := int(m.GetCounter().GetValue())
			switch {
			case name == "panics_total" && times > 0:
				w.blame("%s has panicked", n.Node())
			case rareCounters[name] && times > 0:
				for _, label := range m.GetLabel() {
					name += " " + label.GetName() + "=" + label.GetValue()
				}
				w.add(name, times)
			case ownedGauges[name] && !killed && m.GetGauge().GetValue() != 0:
				w.blame("%s has ended with %s at %v", n.Node(), name, m.GetGauge().GetValue())
			}
			name = strings.TrimPrefix(family.GetName(), "tidegate_")
		}
	}
}

var rareCounters = map[string]bool{
	"recoveries_total": true, "gaps_total": true, "broker_reconnects_total": true, "broker_errors_total": true,
	"history_reads_total": true, "slow_sessions_total": true, "session_closed_total": true,
}

// ownedGauges are of what sessions own.
var ownedGauges = map[string]bool{"sessions": true, "subscriptions": true, "outbox_bytes": true}

// logSeen prints how often what is rare has been.
func logSeen(t *testing.T, seen map[string]int) {
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d  %s", seen[what], what)
	}
}
