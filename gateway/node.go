package gateway

import "time"

// NodeInfo is what is known of a node that is alive.
type NodeInfo struct {
	Node     string    `json:"node"`
	Version  string    `json:"version,omitempty"`
	Sessions int       `json:"sessions"`
	Since    time.Time `json:"since"` // when it started
}
