package ctl

import (
	"bytes"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"tidegate/cmd/tidegate/internal/terminal"
)

// line is a line of a screen.
type line struct {
	text string
	mood mood
}

// mood selects the colour of a line.
type mood string

const (
	good    mood = ""
	heading mood = "\x1b[1m"
	odd     mood = "\x1b[33m"
	bad     mood = "\x1b[31m"
	reset        = "\x1b[m"
)

// tableLines returns a table as lines of the given width; 0 means as wide as necessary. It
// calls moodOf for each row.
func tableLines(width int, headings string, rows func(row func(...any)), moodOf func(i int) mood) []line {
	cells := [][]string{strings.Fields(headings)}
	rows(func(row ...any) { cells = append(cells, texts(row)) })
	if width > 0 {
		cells = fit(cells, width)
	}
	var text bytes.Buffer
	writeTable(&text, cells)
	var all []line
	for i, one := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		m := heading
		if i > 0 {
			m = moodOf(i - 1)
		}
		all = append(all, line{strings.TrimRight(one, " "), m})
	}
	return all
}

func plainLines(lines []line) []string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return texts
}

// Terminal escapes: they select the alternate screen, hide the cursor and turn off line wrapping.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	restOfLine  = "\x1b[K"
	restOfAll   = "\x1b[J"
)

// screen is a terminal that shows one page at a time.
type screen struct {
	out           *os.File
	colours       bool
	keys          chan byte
	restore       func()
	width, height int
}

// openScreen takes over a terminal until close is called. If in is a terminal, too, its
// keys are read one by one.
func openScreen(in, out *os.File) (*screen, error) {
	s := &screen{out: out, colours: os.Getenv("NO_COLOR") == "", keys: make(chan byte), restore: func() {}}
	if terminal.Is(in) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, err
		}
		s.restore = func() { _ = term.Restore(int(in.Fd()), before) } // the terminal may be gone
		go s.hear(in)                                                 // runs until the process ends: a read of a terminal cannot be interrupted
	}
	_, err := io.WriteString(out, enterScreen)
	return s, err
}

func (s *screen) hear(in io.Reader) {
	one := make([]byte, 1)
	for {
		if _, err := in.Read(one); err != nil {
			return
		}
		s.keys <- one[0]
	}
}

func (s *screen) close() {
	_, _ = io.WriteString(s.out, leaveScreen) // the terminal may be gone
	s.restore()
}

// resized reports whether the size of the terminal has changed since the last draw.
func (s *screen) resized() bool {
	width, height := s.size()
	return width != s.width || height != s.height
}

// size returns the size of the terminal, or a small one if it is not known.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw shows a page that fits the terminal. It leaves the last column free: if a line is
// full, clearing the rest of the line erases its last character.
func (s *screen) draw(page func(width, height int) []line) {
	s.width, s.height = s.size()
	var b strings.Builder
	b.WriteString(toTop)
	for i, l := range page(s.width-1, s.height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if l.mood != good && s.colours {
			b.WriteString(string(l.mood) + l.text + reset)
		} else {
			b.WriteString(l.text)
		}
		b.WriteString(restOfLine)
	}
	b.WriteString(restOfAll)
	_, _ = io.WriteString(s.out, b.String()) // if the terminal is gone, the process ends
}
