package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
)

// logFile is a file that a program writes its log to.
type logFile struct {
	t    *testing.T
	path string
}

func newLogFile(t *testing.T) logFile {
	return logFile{t: t, path: filepath.Join(t.TempDir(), "web.log")}
}

func (l logFile) write(text string) { l.writeTo(l.path, text) }

func (l logFile) writeTo(path, text string) {
	l.t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.WriteString(text)
		_ = file.Close()
	}
	must(l.t, err)
}

// rotate renames the file and returns the new name.
func (l logFile) rotate() string {
	l.t.Helper()
	must(l.t, os.Rename(l.path, l.path+".1"))
	return l.path + ".1"
}

// follow starts to read the lines of the file.
func (l logFile) follow() *follower {
	l.t.Helper()
	f, err := openFollower(l.path)
	must(l.t, err)
	l.t.Cleanup(f.close)
	return f
}

func wantLines(t *testing.T, f *follower, lines ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, want := range lines {
		if line, err := f.next(ctx); err != nil || string(line) != want {
			t.Fatalf("line %q, %v; want %q", line, err, want)
		}
	}
}

func TestFollower_WaitsForWholeLines(t *testing.T) {
	l := newLogFile(t)
	f := l.follow()
	l.write("one\r\ntw")
	wantLines(t, f, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 3*lookAgain)
	defer cancel()
	if line, err := f.next(ctx); err == nil {
		t.Errorf("line %q, which has no end", line)
	}
	l.write("o\n\n")
	wantLines(t, f, "two", "")
}

func TestFollower_SkipsWhatIsThere(t *testing.T) {
	l := newLogFile(t)
	l.write("old\n")
	f := l.follow()
	must(t, f.skip())
	l.write("new\n")
	wantLines(t, f, "new")
}

func TestFollower_RotatedFileIsReadToItsEnd(t *testing.T) {
	l := newLogFile(t)
	l.write("one\n")
	f := l.follow()
	wantLines(t, f, "one")
	l.write("two\n")
	old := l.rotate()
	l.write("four\n")
	l.writeTo(old, "three\nunfinished")
	wantLines(t, f, "two", "three", "unfinished", "four")
}

func TestFollower_TruncatedFileIsReadFromItsBeginning(t *testing.T) {
	l := newLogFile(t)
	l.write("a long line\n")
	f := l.follow()
	wantLines(t, f, "a long line")
	must(t, os.Truncate(l.path, 0))
	l.write("short\n")
	wantLines(t, f, "short")
}

func TestFollower_LongLineIsCut(t *testing.T) {
	l := newLogFile(t)
	l.write(strings.Repeat("x", longestLine+10) + "\nnext\n")
	f := l.follow()
	length := 0
	for length < longestLine+10 {
		line, err := f.next(t.Context())
		if err != nil || len(line) > longestLine+64<<10 {
			t.Fatalf("a line of %d bytes, %v", len(line), err)
		}
		length += len(line)
	}
	wantLines(t, f, "next")
}

func TestTail_LosesNothingWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	listen := "TIDEGATE_LISTEN=" + brokertest.FreeAddress(t)
	node := startReady(t, []string{listen})
	url := node.socket()
	l := newLogFile(t)
	l.write("before\n")
	tail := start(t, nil, "tail", l.path, "--channel", "logs:web", "--from-start", "--url", url)
	subscriber := start(t, nil, "subscribe", "logs:web", "--url", url)
	for i := 0; ; i++ { // until the subscriber is ready
		l.write(fmt.Sprintln("probe", i))
		if line, _ := subscriber.find("probe"); line != "" {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	l.write("the last one that the first node sees\n")
	subscriber.waitFor("the last one")

	must(t, node.command.Process.Kill())
	node.wait()
	tail.waitFor("trying again")
	for i := range 200 { // more than may be in flight
		l.write(fmt.Sprintln("line", i, "of them"))
	}
	old := l.rotate()
	l.writeTo(old, "the last of the old file\n")
	l.write("the first of the new file\n")
	subscriber.signal(os.Interrupt)
	subscriber.wait()

	url = startReady(t, []string{listen}).socket()
	tail.waitFor("tidegate: connected")
	var history string
	for deadline := time.Now().Add(patience); !strings.Contains(history, "the first of the new file"); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the new file's line did not come; tail said:\n%s", tail.said())
		}
		_, history = get(t, "http"+strings.TrimSuffix(strings.TrimPrefix(url, "ws"), "/ws")+"/api/channels/logs:web/messages?limit=100")
	}
	var want []string
	for i := 120; i < 200; i++ { // the history keeps a hundred messages
		want = append(want, fmt.Sprintf("line %d of them", i))
	}
	at := 0
	for _, line := range append(want, "the last of the old file", "the first of the new file") {
		quoted := strconv.Quote(line)
		if next := strings.Index(history, quoted); next < at || strings.Count(history, quoted) != 1 {
			t.Errorf("%s is there %d times, at %d after %d; want once, in order", quoted, strings.Count(history, quoted), next, at)
		} else {
			at = next
		}
	}
	tail.signal(os.Interrupt)
	if code := tail.wait(); code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", code, tail.said())
	}
}

func TestTail_Refusals(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	l := newLogFile(t)
	l.write("a line\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"channel":   {[]string{l.path, "--channel", "a b", "--from-start", "--url", url}, "bad_request"},
		"none":      {[]string{l.path}, "channel"},
		"token":     {[]string{l.path, "--channel", "c", "--url", url, "--token", "wrong"}, "(401)"},
		"directory": {[]string{t.TempDir(), "--channel", "c", "--from-start", "--url", url}, "directory"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := execute(t, newTailCommand(), "", test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}
