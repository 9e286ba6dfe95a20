package bench

import (
	"fmt"
	"os"
	"sync"
)

// progress is a line on a terminal that says how far a benchmark is.
type progress struct {
	out *os.File // nil: nobody looks

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
