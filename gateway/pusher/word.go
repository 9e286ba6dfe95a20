package pusher

import (
	"encoding/json"
	"time"

	"tidegate/gateway"
)

// topicCounts is the topic under which a node that is told of changed counts tells all
// nodes: a map from channels to their number of sessions.
const topicCounts = "pusher_counts"

// Topics of messages between nodes. The edge is the node that received a request, the home
// the node that has the session.
const (
	topicRead  = "pusher_read"  // readWord, to the home: send what there is, once
	topicLeave = "pusher_leave" // readWord, to the home: the client is gone, or must reconnect
	topicLines = "pusher_lines" // linesWord, to the edge: lines for the client
	topicSay   = "pusher_say"   // sayWord, to the home: what the client has sent
	topicBegan = "pusher_began" // beganWord, to all: a session has begun
)

type readWord struct {
	Session string `json:"session"`
	Ticket  string `json:"ticket"`           // identifies the request
	Number  uint64 `json:"number,omitempty"` // number of the request: see order
	Again   bool   `json:"again,omitempty"`  // the edge has asked before, received nothing, and wants to know if the session lives
	Drain   bool   `json:"drain,omitempty"`  // only for topicLeave: the edge is shutting down
}

type linesWord struct {
	Ticket string `json:"ticket"`
	Lines  []byte `json:"lines"`
	Last   bool   `json:"last,omitempty"`
}

type sayWord struct {
	Session string `json:"session"`
	Number  uint64 `json:"number,omitempty"` // number of the request: see order
	Said    []byte `json:"said"`
	Lost    string `json:"lost,omitempty"` // instead of all but Session: why a request of the client was refused
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
