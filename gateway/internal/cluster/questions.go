package cluster

import "tidegate/broker/lock"

// asking is the questions of this node that are under way, and those of other
// nodes that wait.
type asking struct {
	// Fixed at birth.
	given      chan question
	unanswered room // of those that were given: the channel has a place for each
	asked      room // of those that are under way

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

// hear takes a part of an answer. One that is too late is ignored.
func (a *asking) hear(part answer) {
	a.mu.Lock()
	g := a.underWay[part.ID]
	a.mu.Unlock()
	if g != nil {
		g.hear(part)
	}
}

// lost says that a node is gone: it owes nothing any more.
func (a *asking) lost(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.underWay {
		g.release(node)
	}
}
