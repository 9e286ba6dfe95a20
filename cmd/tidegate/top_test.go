package main

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tidegate/broker/brokertest"
)

func TestTop_MeasuresOnceWhereNobodyWatches(t *testing.T) {
	t.Parallel()
	node := startReady(t, nil)
	start(t, []string{"TIDEGATE_URL=" + node.public("")}, "subscribe", clockChannel) // one message a second
	environ := []string{"TIDEGATE_URL=" + node.internal("")}
	awaitOnChannel(t, environ, clockChannel)
	out, details, code := operate(t, environ, "top", "--interval", "3s")
	want := `(?s)^1 node, 1 session, .*\n\nNODE +STATE +SESSIONS .*\n\w+ +ready +1 .*\n\nCHANNEL +MESSAGES/s +SESSIONS\n.*clock +[0-9.]+ +1\n`
	if code != 0 || !regexp.MustCompile(want).MatchString(out) || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d, printed %q and %q, want %s", code, out, details, want)
	}
	if out, _, code := operate(t, environ, "top", "--json", "--interval", "600ms"); code != 0 || !strings.HasPrefix(out, `{"nodes":[{"node":"`) {
		t.Errorf("--json: exit code %d, printed %q", code, out)
	}
	for _, wrong := range [][]string{{"--interval", "10ms"}, {"--channels", "51"}, {"--url", node.public("/tidegate.js")}} {
		if out, _, code := operate(t, nil, append([]string{"top"}, wrong...)...); code == 0 || out != "" {
			t.Errorf("%q: exit code %d, printed %q", wrong, code, out)
		}
	}
}

// TestTop_WatchesAtATerminal runs top at a terminal, which script(1) creates, and types q.
func TestTop_WatchesAtATerminal(t *testing.T) {
	t.Parallel()
	node := startReady(t, nil)
	for name, test := range map[string]struct {
		environ  []string
		coloured bool
	}{
		"in colours": {[]string{"TERM=xterm"}, true},
		"NO_COLOR":   {[]string{"TERM=xterm", "NO_COLOR=1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := typeAtTerminal(t, append(test.environ, "TIDEGATE_URL="+node.internal("")), "top --interval 600ms", "every 600ms", "q")
			for _, want := range []string{"\x1b[?1049h", "NODE ", "ready", "\x1b[?1049l"} {
				if !strings.Contains(shown, want) {
					t.Errorf("shown %q, want %q", shown, want)
				}
			}
			if coloured := strings.Contains(shown, "\x1b[1m"); coloured != test.coloured {
				t.Errorf("coloured: %v, shown %q", coloured, shown)
			}
		})
	}
	t.Run("dumb terminal", func(t *testing.T) {
		t.Parallel()
		shown := typeAtTerminal(t, []string{"TERM=dumb", "TIDEGATE_URL=" + node.internal("")}, "top --interval 600ms", "ready", "")
		if strings.Contains(shown, "\x1b") {
			t.Errorf("shown %q", shown)
		}
	})
}

// typeAtTerminal runs a tidegate command line at a terminal and types keys once it shows
// when. It returns everything that was shown; the command must exit with 0.
func typeAtTerminal(t *testing.T, environ []string, line, when, keys string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "script", "-qec", os.Args[0]+" "+line, "/dev/null")
	cmd.Env = append([]string{"BE_TIDEGATE=1", "GORACE=atexit_sleep_ms=0", "SHELL=/bin/sh", "PATH=" + os.Getenv("PATH")}, environ...)
	input, err := cmd.StdinPipe()
	must(t, err)
	shown := &shown{}
	cmd.Stdout, cmd.Stderr = shown, shown
	must(t, cmd.Start())
	brokertest.Eventually(t, "the terminal to show "+when, func() bool { return strings.Contains(shown.String(), when) })
	if _, err := io.WriteString(input, keys); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, shown %q", err, shown)
	}
	return shown.String()
}

// shown is the output of a terminal. All methods are safe for concurrent use.
type shown struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
