package cluster

import (
	"encoding/json"

	"tidegate/broker/lock"
)

// asking holds the questions that this node has in flight and the queues of those from other nodes.
type asking struct {
	// Fixed at birth.
	others, byClients *queue[question]
	asked, told       room // bound the questions in flight to all nodes, and to one

	// Guarded by mu.
	mu       lock.Mutex[lock.Questions]
	underWay map[string]*gathering // by question.ID
}

func newAsking() *asking {
	return &asking{
		others: newQueue[question](questionsMost, questionBytes), byClients: newQueue[question](questionsMost, questionBytes),
		asked: room{most: askedMost, mostBytes: askedBytes}, told: room{most: toldMost, mostBytes: toldBytes},
		underWay: make(map[string]*gathering),
	}
}

// begin returns the gathering of the answers of nodes to a question, with which the caller must
// call end.
func (a *asking) begin(id string, nodes []string, add func(json.RawMessage) error) *gathering {
	g := newGathering(nodes, add)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.underWay[id] = g
	return g
}

// end makes sure that add is not called any more.
func (a *asking) end(id string, g *gathering) {
	a.mu.Lock()
	delete(a.underWay, id)
	a.mu.Unlock()
	g.end()
}

// hear handles a part of an answer and ignores late ones.
func (a *asking) hear(part answer) {
	a.mu.Lock()
	g := a.underWay[part.ID]
	a.mu.Unlock()
	if g != nil {
		g.hear(part)
	}
}

// lost stops waiting for a node that is gone.
func (a *asking) lost(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.underWay {
		g.release(node)
	}
}
