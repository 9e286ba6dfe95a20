package gateway

import "time"

// NodeInfo is what is known of a node that is alive.
type NodeInfo struct {
	Node     string    `json:"node"`
	Host     string    `json:"host,omitempty"` // where it runs: a machine, a container, a pod
	Version  string    `json:"version,omitempty"`
	Sessions int       `json:"sessions"`
	Since    time.Time `json:"since"` // when it started
}
