package gateway

import (
	"encoding/json"
	"sync"
)

// Ear receives messages that components of nodes send with Nodes.Tell. Those of other nodes come
// one at a time, in order of arrival. Those of this node come in the goroutines of their
// senders, so an Ear may be called concurrently. It must not block. Its error is returned to
// the sender.
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
