package wall_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"tidegate/gateway/internal/wall"
)

func newWall() (w *wall.Wall, counted *int, log *bytes.Buffer) {
	counted, log = new(int), new(bytes.Buffer)
	return &wall.Wall{Log: slog.New(slog.NewTextHandler(log, nil)), Count: func() { *counted++ }}, counted, log
}

func blowUp() { panic("boom") }

func TestCatch_CountsLogsAndEnds(t *testing.T) {
	w, counted, log := newWall()
	ended := false
	func() {
		defer w.Catch("test", func() { ended = true })
		blowUp()
	}()
	if *counted != 1 || !ended {
		t.Errorf("counted %d, ended %v", *counted, ended)
	}
	for _, want := range []string{"doing=test", "panic=boom", "blowUp"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
}

func TestCatch_AnEndThatPanicsIsCaughtToo(t *testing.T) {
	w, counted, _ := newWall()
	func() {
		defer w.Catch("test", blowUp)
		blowUp()
	}()
	if *counted != 2 {
		t.Errorf("counted %d panics, want 2", *counted)
	}
}

func TestCatch_WithoutAPanicNothingHappens(t *testing.T) {
	w, counted, _ := newWall()
	func() { defer w.Catch("test", func() { t.Error("ended") }) }()
	if *counted != 0 {
		t.Errorf("counted %d", *counted)
	}
}

func TestDo_SaysWhetherItReturned(t *testing.T) {
	w, _, _ := newWall()
	if w.Do("test", blowUp) {
		t.Error("a panic counts as a return")
	}
	if !w.Do("test", func() {}) {
		t.Error("a return counts as a panic")
	}
	if (*wall.Wall)(nil).Do("test", blowUp) {
		t.Error("a nil wall lets a panic pass for a return")
	}
}

func TestGroup_WaitsForWhatPanics(t *testing.T) {
	w, counted, _ := newWall()
	group := wall.Group{Wall: w}
	group.Go(blowUp)
	group.Wait()
	if *counted != 1 {
		t.Errorf("counted %d", *counted)
	}
}
