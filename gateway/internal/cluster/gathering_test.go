package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

// gather returns a gathering for the answers of some nodes, and the number of parts added.
func gather(nodes ...string) (w *gathering, reached *int) {
	reached = new(int)
	return newGathering(nodes, func(json.RawMessage) error { *reached++; return nil }), reached
}

func said(node string, part int, done bool) answer {
	return answer{Node: node, Part: part, Done: done, Body: json.RawMessage("1")}
}

// silentAtOnce returns the nodes whose answers are incomplete, without waiting.
func silentAtOnce(w *gathering) []string {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	silent, _ := w.wait(ctx)
	return silent
}

func TestGathering_AddsUpThePartsOfAll(t *testing.T) {
	w, reached := gather("a", "b")
	w.hear(said("a", 0, false))
	w.hear(said("b", 0, true))
	w.hear(said("a", 1, true))
	if silent, err := w.wait(t.Context()); len(silent) > 0 || err != nil || *reached != 3 {
		t.Errorf("reached %d, silent %v, %v, want 3 of all", *reached, silent, err)
	}
}

func TestGathering_LostPartIsNoAnswer(t *testing.T) {
	w, reached := gather("a", "b")
	w.hear(said("a", 0, false))
	w.hear(said("a", 2, true))
	w.hear(said("b", 1, true))
	if silent := silentAtOnce(w); !slices.Equal(silent, []string{"a", "b"}) || *reached != 1 {
		t.Errorf("reached %d, silent %v, want 1, a and b", *reached, silent)
	}
}

func TestGathering_NewcomerAnswersToo(t *testing.T) {
	w, reached := gather("a")
	w.hear(said("new", 0, false))
	w.hear(said("a", 0, true))
	if silent := silentAtOnce(w); !slices.Equal(silent, []string{"new"}) || *reached != 2 {
		t.Errorf("reached %d, silent %v, want 2 and new", *reached, silent)
	}
}

func TestGathering_GoneNodeOwesNothing(t *testing.T) {
	w, _ := gather("a", "b")
	w.hear(said("a", 0, true))
	w.release("b")
	w.release("stranger")
	if silent := silentAtOnce(w); len(silent) > 0 {
		t.Errorf("silent %v, want none", silent)
	}
}

func TestGathering_LateAnswerIsNotAdded(t *testing.T) {
	w, reached := gather("a")
	silentAtOnce(w)
	w.hear(said("a", 0, true))
	if *reached != 0 {
		t.Errorf("reached %d after the end", *reached)
	}
}

func TestGathering_TellsTheFirstFailure(t *testing.T) {
	w, _ := gather("a", "b")
	w.hear(answer{Node: "a", Done: true, Code: "limit_exceeded", Why: "full"})
	w.hear(answer{Node: "b", Done: true, Code: "unavailable", Why: "away"})
	_, err := w.wait(t.Context())
	if f := new(Failure); !errors.As(err, &f) || f.Code != "limit_exceeded" {
		t.Errorf("%v, want the first", err)
	}
}
