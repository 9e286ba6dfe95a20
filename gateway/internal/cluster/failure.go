package cluster

import "fmt"

// Failure is why not all is done of what a node was asked or told. It is an error.
type Failure struct {
	Code string // unavailable, or one of Config.Explain
	Text string // says what to do
}

func (f *Failure) Error() string { return f.Text }

// unavailable is the Code of this package's own failures.
const unavailable = "unavailable"

func failf(format string, args ...any) *Failure {
	return &Failure{unavailable, fmt.Sprintf(format, args...)}
}
