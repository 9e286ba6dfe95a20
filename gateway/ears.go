package gateway

import (
	"encoding/json"
	"sync"
)

// Ear receives messages that a component of a node, this one included, sends with Nodes.Tell:
// those of another node one at a time and in order of arrival, those of this node in the
// goroutines of their senders, meanwhile. It must not block. Its error is returned to the
// sender.
type Ear func(from string, body json.RawMessage) error

// partWord is a message between components of nodes.
type partWord struct {
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body"`
}

// ears maps topics to ears. All methods are safe for concurrent use.
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
