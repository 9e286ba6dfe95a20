package cluster

import (
	"encoding/json"
	"fmt"
	"time"
)

// dispatch is a message between nodes. Exactly one field is set.
type dispatch struct {
	Hello    *hello    `json:"hello,omitempty"`
	Bye      *bye      `json:"bye,omitempty"`
	Question *question `json:"question,omitempty"`
	Answer   *answer   `json:"answer,omitempty"`
}

// hello says that a node is alive. A node sends it to all others when it starts and then
// every third of its lease, and at once to a node that asks.
type hello struct {
	Node    string          `json:"node"`
	LeaseMS int64           `json:"lease"` // without another hello, the node counts as dead after this many milliseconds
	Asks    bool            `json:"asks,omitempty"`
	About   json.RawMessage `json:"about,omitempty"`
}

func (h *hello) lease() time.Duration { return time.Duration(h.LeaseMS) * time.Millisecond }

// bye says that a node is leaving.
type bye struct {
	Node string `json:"node"`
}

// question is what a node asks all others, or tells one of them.
type question struct {
	ID    string          `json:"id"`
	From  string          `json:"from"` // the asking node
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// answer is one part of a node's answer. What a node was told is answered by one with any Body, or
// with a Code.
type answer struct {
	ID   string          `json:"id"`
	Node string          `json:"node"`
	Part int             `json:"part"` // counts from 0, so that a lost part is noticed
	Done bool            `json:"done,omitempty"`
	Code string          `json:"code,omitempty"` // with Done: why not everything was done
	Why  string          `json:"why,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

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
