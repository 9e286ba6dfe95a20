package webhook

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A backend is back once it answers and nothing has failed for backAfter.
func TestNoteAnswered_TellsWhenTheBackendIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		w := &Webhook{config: Config{Log: slog.New(slog.NewTextHandler(&said, nil))}}
		isSaid := func(lines int, last string) {
			t.Helper()
			if got := strings.Count(said.String(), "\n"); got != lines || !strings.Contains(said.String(), last) {
				t.Errorf("want %d lines, with %q:\n%s", lines, last, said.String())
			}
		}
		w.noteAnswered(nil)
		isSaid(0, "")
		w.noteAnswered(errors.New("refused"))
		isSaid(1, "is away")
		time.Sleep(backAfter - time.Second)
		w.noteAnswered(errors.New("refused"))
		time.Sleep(backAfter - time.Second)
		w.noteAnswered(nil)
		isSaid(1, "is away")
		time.Sleep(time.Second)
		w.noteAnswered(nil)
		w.noteAnswered(nil)
		isSaid(2, "is back")
		w.noteAnswered(errors.New("refused"))
		isSaid(3, "is away")
	})
}
