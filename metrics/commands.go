package metrics

import "github.com/prometheus/client_golang/prometheus"

// Commands counts commands from clients and backends.
type Commands struct {
	AuthFailures Counters // refused credentials, by reason

	handled *prometheus.CounterVec
}

func newCommands(r registrar) Commands {
	return Commands{
		AuthFailures: Counters{r.counters("auth_failures_total", "Refused credentials.", "reason")},
		handled:      r.counters("commands_total", "Commands of clients.", "type", "result"),
	}
}

// Prepare creates the series of these commands and results with the value 0.
func (c *Commands) Prepare(commands, results []string) {
	for _, command := range commands {
		for _, result := range results {
			c.handled.WithLabelValues(command, result)
		}
	}
}

// Handled returns the counter of commands of one type with one result: "ok" or an error code.
func (c *Commands) Handled(command, result string) prometheus.Counter {
	return c.handled.WithLabelValues(command, result)
}
