package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"tidegate/broker/lock"
)

// gathering is the answers to one question, as they come. All methods may be called
// concurrently.
type gathering struct {
	// Fixed at birth.
	progress chan struct{} // somebody has said something
	over     chan struct{} // closed when nobody owes an answer

	// Guarded by mu, which is held while add is called.
	mu     lock.Mutex[lock.Answers]
	add    func(json.RawMessage) error
	owing  map[string]int // by node: the number of the part that it is to say next
	failed error          // the first that a node told, or add's
	ended  bool           // nothing is added any more
}

// newGathering awaits the answers of some nodes, and tells add what they have
// found, one call at a time, until it returns an error.
func newGathering(nodes []string, add func(json.RawMessage) error) *gathering {
	w := &gathering{progress: make(chan struct{}, 1), over: make(chan struct{}), add: add, owing: make(map[string]int)}
	for _, node := range nodes {
		w.owing[node] = 0
	}
	return w
}

// hear takes one part of a node's answer. Of one that misses a part the rest is
// no answer either. A node that the directory did not have yet may answer, too.
func (w *gathering) hear(part answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || part.Part != w.owing[part.Node] {
		return
	}
	if part.Body != nil {
		if err := w.add(part.Body); err != nil {
			w.failed = err
			w.conclude()
			return
		}
	}
	w.owing[part.Node]++
	if part.Code != "" && w.failed == nil {
		w.failed = &Failure{part.Code, part.Why}
	}
	if part.Done {
		w.dismiss(part.Node)
	}
	select {
	case w.progress <- struct{}{}:
	default:
	}
}

// release says that a node is gone: it owes nothing any more.
func (w *gathering) release(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dismiss(node)
}

// dismiss notes that a node owes nothing any more. It is called with mu held.
func (w *gathering) dismiss(node string) {
	delete(w.owing, node)
	if len(w.owing) == 0 && !w.ended {
		w.conclude()
	}
}

// conclude is called with mu held, once.
func (w *gathering) conclude() {
	clear(w.owing)
	w.ended = true
	close(w.over)
}

// wait returns the nodes that owe an answer and have said nothing for a while,
// or until ctx ended; and the first error that a node told.
func (w *gathering) wait(ctx context.Context) (silent []string, failed error) {
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case <-w.over:
			waiting = false
		case <-w.progress:
			patience.Reset(askPatience)
		case <-patience.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return slices.Sorted(maps.Keys(w.owing)), w.failed
}

// end sees to it that nothing is added any more.
func (w *gathering) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

const (
	askPatience = time.Second            // without a word from a node that is alive
	answerLimit = 10 * time.Second       // for a node to do its part
	greetTime   = 200 * time.Millisecond // for a new node to hear who is there
	answerers   = 4
)
