package bench

import (
	"fmt"
	"os"
	"sync"
)

// progress shows the progress of a benchmark in one line of a terminal.
type progress struct {
	out *os.File // nil if there is no terminal; then nothing is shown

	mu    sync.Mutex
	shown bool
}

func (p *progress) say(format string, args ...any) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
}

func (p *progress) clear() {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
