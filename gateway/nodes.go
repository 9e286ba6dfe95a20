package gateway

import (
	"context"
	"slices"
	"strings"
)

// Nodes returns the nodes that are alive, this one included, by name. What it
// says of one that does not answer is what that one last said by itself, up to a
// third of its lease ago.
func (g *Gateway) Nodes(ctx context.Context) ([]NodeInfo, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	nodes := make(map[string]NodeInfo)
	note := func(n NodeInfo) { nodes[n.Node] = n }
	if _, err := g.cluster.Ask(ctx, describeNode, errand{}, g.holding(ctx, decoded(g, describeNode, note))); err != nil {
		return nil, ErrorOf(err)
	}
	for node, about := range g.cluster.Others() {
		if _, answered := nodes[node]; !answered {
			nodes[node] = NodeInfo{Node: node}
			decoded(g, describeNode, note)(about)
		}
	}
	return sortedNodes(nodes), nil
}

// Alive returns the names of the nodes that are alive, this one included, as far as it
// knows without asking them.
func (g *Gateway) Alive() []string { return g.cluster.Alive() }

func sortedNodes(by map[string]NodeInfo) []NodeInfo {
	nodes := make([]NodeInfo, 0, len(by))
	for _, node := range by {
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int { return strings.Compare(a.Node, b.Node) })
	return nodes
}
