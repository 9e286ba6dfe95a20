package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tidegate/broker/brokertest"

	"github.com/spf13/cobra"
)

// execute runs a command in this process with the given input until it ends.
func execute(t *testing.T, cmd *cobra.Command, input string, args ...string) (out, details string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(append([]string{}, args...)) // not nil, or cobra would use the test's own arguments
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = cmd.ExecuteContext(ctx)
	return stdout.String(), stderr.String(), err
}

// socket returns the WebSocket URL of a node.
func (p *process) socket() string {
	return "ws" + strings.TrimPrefix(p.public("/ws"), "http")
}

func TestPublish_EveryKindOfPayload(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	subscriber := start(t, nil, "subscribe", "c", "--json", "--url", url)
	for _, test := range []struct {
		args  []string
		input string
		want  string // expected message
	}{
		{[]string{`{"a": 1}`}, "", `"data":{"a":1}`},
		{[]string{"hello", "--event", "greeting"}, "", `"text":"hello","event":"greeting"`},
		{[]string{"-"}, "from a pipe\n", `"text":"from a pipe"`},
		{nil, "\xff\n", `"binary":"/wo="`},
	} {
		awaitSubscriber(t, subscriber, url)
		out, details, err := execute(t, newPublishCommand(), test.input, append([]string{"c", "--url", url}, test.args...)...)
		cursor := strings.TrimSpace(out)
		if err != nil || details != "" || !strings.Contains(cursor, ":") {
			t.Fatalf("publish %q: printed %q and %q, %v; want a cursor", test.args, out, details, err)
		}
		if line := subscriber.waitFor(`"cursor":"` + cursor + `"`); !strings.Contains(line, test.want) {
			t.Errorf("publish %q: the subscriber has %s, want %s", test.args, line, test.want)
		}
	}
}

// awaitSubscriber publishes until the subscriber receives a message.
func awaitSubscriber(t *testing.T, subscriber *process, url string) {
	t.Helper()
	const probe = `"event":"probe"`
	for line := ""; line == ""; line, _ = subscriber.find(probe) {
		if _, _, err := execute(t, newPublishCommand(), "", "c", "1", "--event", "probe", "--url", url); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPublish_Lines(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	var lines strings.Builder
	for i := range 150 { // more than allowed per second
		fmt.Fprintln(&lines, i)
	}
	out, details, err := execute(t, newPublishCommand(), lines.String(), "c", "--lines", "--url", url)
	if err != nil || details != "" {
		t.Fatalf("printed %q, %v", details, err)
	}
	cursors := strings.Fields(out)
	if len(cursors) != 150 {
		t.Fatalf("%d cursors, want 150", len(cursors))
	}
	for i, cursor := range cursors {
		if !strings.HasSuffix(cursor, fmt.Sprint(":", i+1)) {
			t.Fatalf("line %d has cursor %s, want offset %d", i, cursor, i+1)
		}
	}
}

func TestPublish_NoLineIsLostWhileTheGatewayIsAway(t *testing.T) {
	t.Parallel()
	listen := "TIDEGATE_LISTEN=" + brokertest.FreeAddress(t)
	node := startReady(t, []string{listen})
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	lines, err := os.OpenFile(pipe, os.O_RDWR, 0)
	must(t, err)
	defer lines.Close()
	say := func(line string) {
		_, err := fmt.Fprintln(lines, line)
		must(t, err)
	}
	awaitInHistory := func(line string) (history string) {
		await(t, line, func() (bool, string) {
			_, history = get(t, node.public("/api/channels/logs:web/messages?limit=100"))
			return strings.Contains(history, strconv.Quote(line)), history
		})
		return history
	}
	publisher := startProgram(t, "/bin/sh", nil, "-c", `exec "$0" publish logs:web --lines --url "$1" <"$2"`, os.Args[0], node.socket(), pipe)
	say("the last one that the first node sees")
	awaitInHistory("the last one that the first node sees")
	must(t, node.command.Process.Kill())
	node.wait()
	publisher.waitFor("trying again")
	for i := range 200 { // more than may be in flight
		say(fmt.Sprintf("line %d of them", i))
	}
	node = startReady(t, []string{listen})
	publisher.waitFor("tidegate: connected")
	history := awaitInHistory("line 199 of them")
	at := 0
	for i := 100; i < 200; i++ { // the history keeps a hundred messages
		line := fmt.Sprintf(`"line %d of them"`, i)
		if next := strings.Index(history, line); next < at || strings.Count(history, line) != 1 {
			t.Errorf("%s is there %d times, at %d after %d; want once, in order", line, strings.Count(history, line), next, at)
		} else {
			at = next
		}
	}

	say(strings.Repeat("x", 100_000))
	say("short enough")
	awaitInHistory("short enough")
	must(t, lines.Close())
	if code := publisher.wait(); code != 1 || !strings.Contains(publisher.said(), "left out, 100000 bytes: ") {
		t.Errorf("exit code %d, want 1, with a line that is left out:\n%s", code, publisher.said())
	}
}

func TestPublish_SameKeyIsPublishedOnce(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	first, _, err1 := execute(t, newPublishCommand(), "", "c", "1", "--key", "k", "--url", url)
	second, _, err2 := execute(t, newPublishCommand(), "", "c", "1", "--key", "k", "--url", url)
	if err1 != nil || err2 != nil || first == "" || first != second {
		t.Errorf("cursors %q and %q, %v, %v; want the same", first, second, err1, err2)
	}
}

func TestPublish_Refusals(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"channel":  {[]string{"a b", "1", "--url", url}, "bad_request: the channel's name"},
		"size":     {[]string{"c", strings.Repeat("x", 100_000), "--url", url}, "too_large"},
		"token":    {[]string{"c", "1", "--url", url, "--token", "wrong"}, "(401)"},
		"path":     {[]string{"c", "1", "--url", url + "/nowhere"}, "(404)"},
		"scheme":   {[]string{"c", "1", "--url", "localhost:8080"}, "want something like ws://"},
		"no data":  {nil, "arg(s)"},
		"absent":   {[]string{"c", "1", "--url", "ws://" + brokertest.FreeAddress(t), "--timeout", "100ms"}, "gave up after 100ms"},
		"key+line": {[]string{"c", "--lines", "--key", "k"}, "lines"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := execute(t, newPublishCommand(), "", test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) || out != "" {
				t.Errorf("printed %q, error %v; want %s", out, err, test.want)
			}
		})
	}
}
