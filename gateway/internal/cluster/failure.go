package cluster

import "fmt"

// Failure is an error that says why a node has not done all that it was asked or told.
type Failure struct {
	Code string // unavailable, or a code chosen by Config.Explain
	Text string // says what to do about it
}

func (f *Failure) Error() string { return f.Text }

// unavailable is the Code of failures that arise in this package.
const unavailable = "unavailable"

func failf(format string, args ...any) *Failure {
	return &Failure{unavailable, fmt.Sprintf(format, args...)}
}
