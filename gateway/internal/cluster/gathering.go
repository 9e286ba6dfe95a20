package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"tidegate/broker/lock"
)

// gathering collects the answers to one question. All methods are safe for concurrent use.
type gathering struct {
	// Fixed at birth.
	progress chan struct{} // signaled when a part has arrived
	over     chan struct{} // closed when all answers are complete

	// Guarded by mu, which is held while add is called.
	mu     lock.Mutex[lock.Answers]
	add    func(json.RawMessage) error
	owing  map[string]int // by node whose answer is incomplete: the number of its next part
	failed error          // the first error that a node reported, or that add returned
	ended  bool           // add is not called any more
}

// newGathering returns a gathering for the answers of the given nodes. It calls add with
// each part, one call at a time, until add returns an error.
func newGathering(nodes []string, add func(json.RawMessage) error) *gathering {
	w := &gathering{progress: make(chan struct{}, 1), over: make(chan struct{}), add: add, owing: make(map[string]int)}
	for _, node := range nodes {
		w.owing[node] = 0
	}
	return w
}

// hear handles one part of a node's answer. After a missing part it ignores the rest of
// that answer. It accepts answers of nodes that the directory did not list yet.
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

// release stops waiting for a node that is gone.
func (w *gathering) release(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dismiss(node)
}

// dismiss stops waiting for a node. The caller must hold mu.
func (w *gathering) dismiss(node string) {
	delete(w.owing, node)
	if len(w.owing) == 0 && !w.ended {
		w.conclude()
	}
}

// conclude ends the gathering. It is called once; the caller must hold mu.
func (w *gathering) conclude() {
	clear(w.owing)
	w.ended = true
	close(w.over)
}

// wait blocks until all answers are complete, no part has arrived for askPatience, or ctx ends.
// It returns the nodes whose answers are incomplete, and the first error that a node reported.
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

// end makes sure that add is not called any more.
func (w *gathering) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

const (
	askPatience  = time.Second            // how long to wait for the next part
	tellPatience = time.Second            // for a node to take what it is told
	answerLimit  = 10 * time.Second       // for a node to answer a question
	greetTime    = 200 * time.Millisecond // for a new node to learn who is alive
	answerers    = 4                      // for each queue of questions
)
