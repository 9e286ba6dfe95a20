package cluster

import "tidegate/broker/lock"

// asking holds the questions that this node has in flight and the queue of those from other nodes.
type asking struct {
	// Fixed at birth.
	given      chan question
	unanswered room // bounds the queue, which has a slot for each question
	asked      room // bounds the questions in flight

	// Guarded by mu.
	mu       lock.Mutex[lock.Questions]
	underWay map[string]*gathering // by question.ID
}

func newAsking() *asking {
	return &asking{
		given:      make(chan question, questionsMost),
		unanswered: room{most: questionsMost, mostBytes: questionBytes},
		asked:      room{most: askedMost, mostBytes: askedBytes},
		underWay:   make(map[string]*gathering),
	}
}

func (a *asking) begin(id string, g *gathering) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.underWay[id] = g
}

func (a *asking) end(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.underWay, id)
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
