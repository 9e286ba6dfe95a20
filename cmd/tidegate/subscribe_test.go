package main

import (
	"os"
	"strings"
	"testing"
)

func TestSubscribe_ResumesFromACursorAndEndsBySignal(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	out, _, err := execute(t, newPublishCommand(), "0\n1\n2\n", "c", "--lines", "--url", url)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, "subscribe", "c", "--cursor", strings.Fields(out)[0], "--url", url)
	p.waitFor("2")
	p.signal(os.Interrupt)
	if code := p.wait(); code != 0 || p.said() != "1\n2" {
		t.Errorf("exit code %d, printed %q; want 0 and lines 1 and 2", code, p.said())
	}
}

func TestSubscribe_TellsGapsAndLostConnections(t *testing.T) {
	t.Parallel()
	listen := "TIDEGATE_LISTEN=" + freeAddress(t)
	node := startReady(t, []string{listen})
	url := node.socket()
	p := start(t, nil, "subscribe", "c", "--json", "--url", url)
	awaitSubscriber(t, p, url)
	if err := node.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.waitFor("trying again")
	node.wait()
	startReady(t, []string{listen})
	p.waitFor("tidegate: connected")
	p.waitFor("tidegate: c: messages may have been missed here")
}

func TestSubscribe_Refusals(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"cursors": {[]string{"a", "b", "--cursor", "e:1"}, "--cursor is of one channel"},
		"cursor":  {[]string{"c", "--cursor", "what", "--url", url}, "malformed cursor"},
		"channel": {[]string{"c", "a b", "--url", url}, "bad_request"},
		"token":   {[]string{"c", "--token", "wrong", "--url", url}, "(401)"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := execute(t, newSubscribeCommand(), "", test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
}
