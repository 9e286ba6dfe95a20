package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"tidegate/gateway/internal/cluster"
)

// Nodes are those of the cluster, of which this node is one. All methods may be called
// concurrently.
type Nodes struct {
	// Fixed at birth.
	cluster *cluster.Cluster
	budget  *Budget // where long answers take up room
	log     *slog.Logger

	ears ears
}

// NodeInfo is what is known of a node that is alive.
type NodeInfo struct {
	Node     string    `json:"node"`
	Host     string    `json:"host,omitempty"` // where it runs: a machine, a container, a pod
	Version  string    `json:"version,omitempty"`
	Sessions int       `json:"sessions"`
	Since    time.Time `json:"since"` // when it started
}

// List returns the nodes that are alive, this one included, by name. What it
// says of one that does not answer is what that one last said by itself, up to a
// third of its lease ago.
func (n *Nodes) List(ctx context.Context) (list []NodeInfo, err error) {
	err = n.survey(ctx, describeNode, errand{}, decoded(n, describeNode, func(of NodeInfo) { list = append(list, of) }), func(silent NodeInfo) {
		if !slices.ContainsFunc(list, func(of NodeInfo) bool { return of.Node == silent.Node }) {
			list = append(list, silent)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b NodeInfo) int { return strings.Compare(a.Node, b.Node) })
	return list, nil
}

// survey asks all nodes, also where some do not answer, and then tells other what each has
// last said of itself, but this node.
func (n *Nodes) survey(ctx context.Context, topic string, e errand, add func(json.RawMessage), other func(NodeInfo)) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if _, err := n.cluster.Ask(ctx, topic, e, n.holding(ctx, add)); err != nil {
		return ErrorOf(err)
	}
	for node, about := range n.cluster.Others() {
		info := NodeInfo{Node: node}
		decoded(n, describeNode, func(said NodeInfo) { info = said })(about)
		other(info)
	}
	return nil
}

// Alive returns the names of the nodes that are alive, this one included, as far as it
// knows without asking them.
func (n *Nodes) Alive() []string { return n.cluster.Alive() }

// Hear passes what is told under a topic to ear. It is for transports whose requests
// may come to another node than their session is on. Call it once for a topic, before
// anybody tells something under it.
func (n *Nodes) Hear(topic string, ear Ear) { n.ears.add(topic, ear) }

// Tell sends body, as JSON, to the ear that hears a topic on a node, and returns once the
// ear has taken it: nil, or an *Error. With the code Unavailable it may have been taken or
// not. What one goroutine tells a node arrives in that order.
func (n *Nodes) Tell(ctx context.Context, node, topic string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return failf(BadRequest, "%v", err)
	}
	if err := n.cluster.Tell(ctx, node, partsWord, partWord{topic, encoded}); err != nil {
		return ErrorOf(err)
	}
	return nil
}

// askAll has an errand done on every node that is alive, and tells add what each
// says, one call at a time. Long answers take up room that the node has for its clients,
// until ctx ends. An error is an *Error, and says that not all of it was done.
func askAll[T any](ctx context.Context, n *Nodes, topic string, e errand, add func(T)) error {
	if err := n.cluster.AskAll(ctx, topic, e, n.holding(ctx, decoded(n, topic, add))); err != nil {
		return ErrorOf(err)
	}
	return nil
}

const shortAnswer = 1 << 10 // a node says no more than one of these

// holding takes room for long answers before they are added.
func (n *Nodes) holding(ctx context.Context, add func(json.RawMessage)) func(json.RawMessage) error {
	return func(body json.RawMessage) error {
		if len(body) > shortAnswer {
			payer := n.budget.backends // nobody else asks for what has long answers
			if err := n.budget.Hold(payer, len(body)); err != nil {
				return err
			}
			context.AfterFunc(ctx, func() { n.budget.LetGo(payer, len(body)) })
		}
		add(body)
		return nil
	}
}

// decoded reads what a node says. An answer that cannot be read, since a node of another
// version gave it, is left out.
func decoded[T any](n *Nodes, topic string, add func(T)) func(json.RawMessage) {
	return func(body json.RawMessage) {
		var said T
		if err := json.Unmarshal(body, &said); err != nil {
			n.log.Warn("another node is not understood", "topic", topic, "error", err)
			return
		}
		add(said)
	}
}
