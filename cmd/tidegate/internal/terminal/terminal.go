// Package terminal writes what commands print, to terminals and to programs.
package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// Is reports whether a reader or writer is a terminal.
func Is(file any) bool {
	f, ok := file.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Plain replaces control characters: text that others choose must not control the terminal.
func Plain(text string) string { return plain(text, "") }

// PlainLines is like Plain but keeps newlines and tabs.
func PlainLines(text string) string { return plain(text, "\n\t") }

func plain(text, kept string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune(kept, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// JSON writes a value as a line of JSON, as the HTTP API does: < is not escaped.
func JSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// Progress shows what a command is doing, in one line of a terminal. Its methods are safe for
// concurrent use. A nil Progress shows nothing.
type Progress struct {
	out io.Writer

	mu    sync.Mutex
	shown bool
}

// NewProgress returns a Progress on out if that is a terminal.
func NewProgress(out io.Writer) *Progress {
	if !Is(out) {
		return nil
	}
	return &Progress{out: out}
}

// Say replaces what is shown.
func (p *Progress) Say(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	fmt.Fprintf(p.out, clearLine+format, args...)
}

// Clear removes what is shown.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.out, clearLine)
		p.shown = false
	}
}

const clearLine = "\r\x1b[K"
