package gateway

import (
	"context"
	"slices"
	"testing"
)

// gather returns a gathering of the answers of some nodes, and what it has added
// up: the sessions reached.
func gather(nodes ...string) (w *gathering, reached *int) {
	reached = new(int)
	return newGathering(nodes, func(found findings) { *reached += found.Reached }), reached
}

func answer(node string, part int, done bool) report {
	return report{Node: node, Part: part, Done: done, findings: findings{Reached: 1}}
}

// silentAtOnce returns who owes an answer if nobody waits for it.
func silentAtOnce(w *gathering) []string {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	silent, _ := w.wait(ctx)
	return silent
}

func TestGathering_AddsUpThePartsOfAll(t *testing.T) {
	w, reached := gather("a", "b")
	w.hear(answer("a", 0, false))
	w.hear(answer("b", 0, true))
	w.hear(answer("a", 1, true))
	if silent, err := w.wait(t.Context()); len(silent) > 0 || err != nil || *reached != 3 {
		t.Errorf("reached %d, silent %v, %v, want 3 of all", *reached, silent, err)
	}
}

func TestGathering_LostPartIsNoAnswer(t *testing.T) {
	w, reached := gather("a", "b")
	w.hear(answer("a", 0, false))
	w.hear(answer("a", 2, true))
	w.hear(answer("b", 1, true))
	if silent := silentAtOnce(w); !slices.Equal(silent, []string{"a", "b"}) || *reached != 1 {
		t.Errorf("reached %d, silent %v, want 1, a and b", *reached, silent)
	}
}

func TestGathering_NewcomerAnswersToo(t *testing.T) {
	w, reached := gather("a")
	w.hear(answer("new", 0, false))
	w.hear(answer("a", 0, true))
	if silent := silentAtOnce(w); !slices.Equal(silent, []string{"new"}) || *reached != 2 {
		t.Errorf("reached %d, silent %v, want 2 and new", *reached, silent)
	}
}

func TestGathering_GoneNodeOwesNothing(t *testing.T) {
	w, _ := gather("a", "b")
	w.hear(answer("a", 0, true))
	w.release("b")
	w.release("stranger")
	if silent := silentAtOnce(w); len(silent) > 0 {
		t.Errorf("silent %v, want none", silent)
	}
}

func TestGathering_LateAnswerIsNotAdded(t *testing.T) {
	w, reached := gather("a")
	silentAtOnce(w)
	w.hear(answer("a", 0, true))
	if *reached != 0 {
		t.Errorf("reached %d after the end", *reached)
	}
}

func TestGathering_TellsTheFirstFailure(t *testing.T) {
	w, _ := gather("a", "b")
	w.hear(report{Node: "a", Done: true, Code: LimitExceeded, Why: "full"})
	w.hear(report{Node: "b", Done: true, Code: Unavailable, Why: "away"})
	if _, err := w.wait(t.Context()); ErrorOf(err).Code != LimitExceeded {
		t.Errorf("%v, want the first", err)
	}
}
