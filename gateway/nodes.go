package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"tidegate/gateway/internal/cluster"
)

// Nodes are the nodes of the cluster, including this one. All methods are safe for
// concurrent use.
type Nodes struct {
	// Immutable.
	cluster *cluster.Cluster
	budget  *Budget // long answers count against it
	log     *slog.Logger
}

// NodeInfo describes a live node.
type NodeInfo struct {
	Node     string `json:"node"`
	Host     string `json:"host"` // where it runs: a machine, a container, a pod; may be empty
	Sessions int    `json:"sessions"`
	Version  string `json:"version"`
	Since    int64  `json:"since"` // when it started, in milliseconds since 1970
}

// List returns the live nodes, including this one, sorted by name. For a node that does not
// answer it returns what that node last announced, up to a third of its lease ago.
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

// survey asks all nodes and passes their answers to add, even if some nodes do not answer.
// Then it calls other for each other node with what that node last announced.
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

// Alive returns the names of the live nodes, including this one, as far as this node knows
// without asking.
func (n *Nodes) Alive() []string { return n.cluster.Alive() }

// Hear registers ear for messages with the given topic (see Tell). It serves transports whose
// requests may arrive at a node other than that of their session. Call it once for a topic,
// before any message of the topic is sent.
func (n *Nodes) Hear(topic string, ear Ear) { n.cluster.Hear(topic, ear) }

// Tell sends body, as JSON, to the ear that another node has registered for the topic, and
// returns when the ear has accepted it. The error is nil or an *Error; with the code
// Unavailable, the message may or may not have been accepted. Messages sent by one goroutine
// to a node arrive in order.
func (n *Nodes) Tell(ctx context.Context, node, topic string, body any) error {
	if err := n.cluster.Tell(ctx, node, topic, body); err != nil {
		return ErrorOf(err)
	}
	return nil
}

// askAll runs an errand on every live node and passes each answer to add, one call at a time.
// Long answers count against the node's budget until ctx ends. An error is an *Error and
// means that the errand was not carried out everywhere.
func askAll[T any](ctx context.Context, n *Nodes, topic string, e errand, add func(T)) error {
	if err := n.cluster.AskAll(ctx, topic, e, n.holding(ctx, decoded(n, topic, add))); err != nil {
		return ErrorOf(err)
	}
	return nil
}

const shortAnswer = 1 << 10 // in bytes; each node sends at most one part this short

// holding returns an add that first reserves room for long answers in the budget.
func (n *Nodes) holding(ctx context.Context, add func(json.RawMessage)) func(json.RawMessage) error {
	return func(body json.RawMessage) error {
		if len(body) > shortAnswer {
			payer := n.budget.backends // only backends ask for anything with long answers
			if err := n.budget.Hold(payer, len(body)); err != nil {
				return err
			}
			context.AfterFunc(ctx, func() { n.budget.LetGo(payer, len(body)) })
		}
		add(body)
		return nil
	}
}

// decoded returns a function that decodes an answer and passes it to add. It logs and skips
// answers that it cannot decode, because they come from a node of another version.
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

// Ear receives messages that components of nodes send with Nodes.Tell. Those of other nodes come
// one at a time, in order of arrival. Those of this node come in the goroutines of their
// senders, so an Ear may be called concurrently. It must not block. Its error is returned to
// the sender.
type Ear = cluster.Ear
