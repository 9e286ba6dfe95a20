package metrics

import "github.com/prometheus/client_golang/prometheus"

// Commands counts commands from clients and backends.
type Commands struct {
	handled      *prometheus.CounterVec
	authFailures *prometheus.CounterVec
}

func newCommands(r registrar) Commands {
	return Commands{
		handled:      r.counters("commands_total", "Commands of clients.", "type", "result"),
		authFailures: r.counters("auth_failures_total", "Refused credentials.", "reason"),
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

// PrepareAuth creates the series of these reasons with the value 0.
func (c *Commands) PrepareAuth(reasons ...string) {
	for _, reason := range reasons {
		c.authFailures.WithLabelValues(reason)
	}
}

// Handled returns the counter of commands of one type with one result: "ok" or an error code.
func (c *Commands) Handled(command, result string) prometheus.Counter {
	return c.handled.WithLabelValues(command, result)
}

// AuthFailed counts a refused credential. reason must be of a fixed set.
func (c *Commands) AuthFailed(reason string) { c.authFailures.WithLabelValues(reason).Inc() }
