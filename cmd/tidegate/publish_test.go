package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
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
