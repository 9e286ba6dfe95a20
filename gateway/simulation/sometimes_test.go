package simulation_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// count adds the metrics of a node that has ended to the rare events of the story. It also
// checks that the node has not panicked and, if it was drained, holds no resources.
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

// ownedGauges are the gauges of resources that sessions own.
var ownedGauges = map[string]bool{"sessions": true, "subscriptions": true, "outbox_bytes": true}

// rare lists the events that enough stories must have seen together, in addition to every
// fault: a path that no story takes is not tested.
var rare = []string{
	"broker_errors_total kind=MISCONF",
	"broker_errors_total kind=OOM",
	"broker_errors_total kind=READONLY",
	"broker_reconnects_total",
	"centrifuge client is to subscribe anew",
	"client closed with 1001",
	"client closed with 3010",
	"client closed with 4008",
	"client closed with 4200",
	"client goes on in another epoch",
	"client has lost its channel: the subscription's token has expired",
	"client has lost its channel: unsubscribed by the backend",
	"client recovered: centrifuge",
	"client recovered: halting",
	"client recovered: native",
	"client resumed over a lost epoch",
	"client stays on its channel after a subscribe that failed",
	"client subscribes again",
	"client subscribes again, since what it has missed does not come",
	"client that only listens has heard all",
	"client told: gap: events",
	"client told: gap: longpoll",
	"client told: gap: native",
	"client told: not recovered: centrifuge",
	"client told: not recovered: longpoll",
	"client told: not recovered: native",
	"client told: was not on its channel: granted",
	"client told: was away without a cursor: pusher",
	"client waits for a grant after a subscribe that failed",
	"client was answered unavailable",
	"client was granted its channel, and subscribes to it",
	"gaps_total repaired=false",
	"gaps_total repaired=true",
	"grant checked",
	"history_reads_total",
	"log: a node has left",
	"log: a node is dead: it has not been heard of for its lease",
	"log: messages may have been missed",
	"not ready without Redis",
	"publish confirmed after more than one try",
	"publish not confirmed, and heard",
	"publish not confirmed, and not heard",
	"publish: unavailable",
	"recoveries_total result=lost",
	"recoveries_total result=recovered",
	"session_closed_total reason=drain",
	"session_closed_total reason=gap",
	"session_closed_total reason=left",
	"session_closed_total reason=slow_consumer",
	"session_closed_total reason=timeout",
	"slow_sessions_total",
}

func checkSeen(t *testing.T, seen map[string]int) {
	wanted := slices.Clone(rare)
	for _, f := range faults {
		wanted = append(wanted, "fault: "+f.name)
	}
	for _, f := range obscured {
		wanted = append(wanted, "fault: "+f.fault.name)
	}
	for _, what := range wanted {
		if seen[what] == 0 {
			t.Errorf("in no story: %s", what)
		}
	}
}

// logSeen prints the counts of rare events.
func logSeen(t *testing.T, seen map[string]int) {
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d  %s", seen[what], what)
	}
}
