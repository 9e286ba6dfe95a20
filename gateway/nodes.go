package gateway

import (
	"context"
	"slices"
	"strings"
	"time"
)

// NodeInfo is what is known of a node that is alive.
type NodeInfo struct {
	Node     string    `json:"node"`
	Version  string    `json:"version,omitempty"`
	Sessions int       `json:"sessions"`
	Since    time.Time `json:"since"` // when it started
}

func (h *hello) info() NodeInfo {
	return NodeInfo{Node: h.Node, Version: h.Version, Sessions: h.Sessions, Since: time.UnixMilli(h.Since)}
}

// Nodes returns the nodes that are alive, this one included, by name. What it
// says of one that does not answer is what that one last said by itself, up to a
// third of its lease ago.
func (g *Gateway) Nodes(ctx context.Context) ([]NodeInfo, error) {
	nodes := make(map[string]NodeInfo)
	_, err := g.cluster.ask(ctx, errand{Do: describeNode}, func(found findings) {
		for _, node := range found.Nodes {
			nodes[node.Node] = node
		}
	})
	if err != nil {
		return nil, err
	}
	for _, h := range g.cluster.directory.list() {
		if _, answered := nodes[h.Node]; !answered {
			nodes[h.Node] = h.info()
		}
	}
	return sortedNodes(nodes), nil
}

func sortedNodes(by map[string]NodeInfo) []NodeInfo {
	nodes := make([]NodeInfo, 0, len(by))
	for _, node := range by {
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int { return strings.Compare(a.Node, b.Node) })
	return nodes
}
