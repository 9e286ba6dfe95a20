package gateway

import (
	"encoding/json"
	"sync"
)

// Ear takes what a part of another node tells, or of this one: one word at a time, in
// the order in which they came. It must not block. An error is told to the teller.
type Ear func(from string, body json.RawMessage) error

// partWord is what parts of nodes tell each other.
type partWord struct {
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body"`
}

// ears are by topic. All methods may be called concurrently.
type ears struct{ by sync.Map }

func (e *ears) add(topic string, ear Ear) { e.by.Store(topic, ear) }

func (e *ears) hear(from string, body json.RawMessage) error {
	var w partWord
	if err := json.Unmarshal(body, &w); err != nil {
		return failf(BadRequest, "%v", err)
	}
	ear, known := e.by.Load(w.Topic)
	if !known {
		return failf(NotFound, "nobody listens to %q here", w.Topic)
	}
	return ear.(Ear)(from, w.Body)
}
