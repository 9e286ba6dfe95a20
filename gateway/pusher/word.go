package pusher

import (
	"encoding/json"
	"time"

	"tidegate/gateway"
)

// topicCounts is what the node that hears of changed counts tells all nodes: how many
// sessions are on channels.
const topicCounts = "pusher_counts"

// What nodes tell each other: the one that has a request (its edge) the one that has
// the session (its home), and back.
const (
	topicRead  = "pusher_read"  // readWord, to the home: pass on what there is, once
	topicLeave = "pusher_leave" // readWord, to the home: the client has broken off, or must come back
	topicLines = "pusher_lines" // linesWord, to the edge
	topicSay   = "pusher_say"   // sayWord, to the home
	topicBegan = "pusher_began" // beganWord, to all: a session has begun
)

type readWord struct {
	Session string `json:"session"`
	Ticket  string `json:"ticket"`           // of the request
	Number  uint64 `json:"number,omitempty"` // of the request, see order
	Again   bool   `json:"again,omitempty"`  // the edge has asked before, and got nothing
	Drain   bool   `json:"drain,omitempty"`  // of a leave: the edge is about to end
}

type linesWord struct {
	Ticket string `json:"ticket"`
	Lines  []byte `json:"lines"`
	Last   bool   `json:"last,omitempty"`
}

type sayWord struct {
	Session string `json:"session"`
	Key     string `json:"key"`
	Number  uint64 `json:"number,omitempty"` // of the request, see order
	Said    []byte `json:"said"`
}

type beganWord struct {
	Session string    `json:"session"`
	Since   time.Time `json:"since"`
}

func heard[T any](do func(from string, word T) error) gateway.Ear {
	return func(from string, body json.RawMessage) error {
		var word T
		if err := json.Unmarshal(body, &word); err != nil {
			return fail(gateway.BadRequest, "%v", err)
		}
		return do(from, word)
	}
}
