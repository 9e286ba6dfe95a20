package cluster

import (
	"encoding/json"
	"time"
)

// dispatch is what nodes say to each other: one of its fields is given.
type dispatch struct {
	Hello    *hello    `json:"hello,omitempty"`
	Bye      *bye      `json:"bye,omitempty"`
	Question *question `json:"question,omitempty"`
	Answer   *answer   `json:"answer,omitempty"`
	Word     *word     `json:"word,omitempty"`
	Receipt  *receipt  `json:"receipt,omitempty"`
}

// hello says that a node is alive. It goes to all at the node's start and then
// every third of its lease, and to one that asks at once.
type hello struct {
	Node    string          `json:"node"`
	LeaseMS int64           `json:"lease"` // without another hello it is dead after so many milliseconds
	Asks    bool            `json:"asks,omitempty"`
	About   json.RawMessage `json:"about,omitempty"`
}

func (h *hello) lease() time.Duration { return time.Duration(h.LeaseMS) * time.Millisecond }

// bye says that a node leaves.
type bye struct {
	Node string `json:"node"`
}

// question is what a node asks of all nodes.
type question struct {
	ID    string          `json:"id"`
	From  string          `json:"from"` // the node that asks
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// answer is a part of what a node answers.
type answer struct {
	ID   string          `json:"id"`
	Node string          `json:"node"`
	Part int             `json:"part"` // counts from 0, so that a lost one is noticed
	Done bool            `json:"done,omitempty"`
	Code string          `json:"code,omitempty"` // with Done: why not all of it was done
	Why  string          `json:"why,omitempty"`
	Body json.RawMessage `json:"body,omitempty"`
}

// word is what a node tells another one.
type word struct {
	ID    string          `json:"id"`
	From  string          `json:"from"`
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// receipt says that a node has taken a word, or why not.
type receipt struct {
	ID   string `json:"id"`
	Code string `json:"code,omitempty"`
	Why  string `json:"why,omitempty"`
}
