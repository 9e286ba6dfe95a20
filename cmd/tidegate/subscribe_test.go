package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/client"
)

func TestSubscribe_BeginsWithTheHistoryAndEndsBySignal(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	out, _, err := execute(t, newPublishCommand(), "0\n1\n2\n", "c", "--lines", "--url", url)
	must(t, err)
	for _, from := range []string{"--cursor=" + strings.Fields(out)[0], "--recent=2"} {
		p := start(t, nil, "subscribe", "c", from, "--url", url)
		p.waitFor("2")
		p.signal(os.Interrupt)
		if code := p.wait(); code != 0 || p.said() != "1\n2" {
			t.Errorf("%s: exit code %d, printed %q; want 0 and lines 1 and 2", from, code, p.said())
		}
	}
}

func TestSubscribe_TellsGapsAndLostConnections(t *testing.T) {
	t.Parallel()
	listen := "TIDEGATE_LISTEN=" + brokertest.FreeAddress(t)
	node := startReady(t, []string{listen})
	url := node.socket()
	p := start(t, nil, "subscribe", "c", "--json", "--url", url)
	awaitSubscriber(t, p, url)
	must(t, node.command.Process.Kill())
	p.waitFor("trying again")
	node.wait()
	startReady(t, []string{listen})
	p.waitFor("tidegate: connected")
	p.waitFor("tidegate: c: messages may have been missed here")
}

// At a terminal, commands say what they are waiting for.
func TestSubscribe_SaysAtATerminalThatItListens(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	for line, want := range map[string]string{
		"subscribe c --url " + url:                         "tidegate: listening to c; Ctrl-C ends it",
		"subscribe 'c:*' --url " + url:                     "tidegate: listening to c:*, which is one channel, not a pattern; Ctrl-C ends it",
		"tail " + os.DevNull + " --channel c --url " + url: "tidegate: publishing new lines of /dev/null to c; Ctrl-C ends it",
		"publish c --url " + url:                           "tidegate: reading standard input; Ctrl-D ends it",
	} {
		command := atTerminal(t, line)
		stdin, err := command.StdinPipe()
		must(t, err)
		stdout, err := command.StdoutPipe()
		must(t, err)
		must(t, command.Start())
		said, err := bufio.NewReader(stdout).ReadString('\n')
		if got := strings.TrimSpace(said); got != want || err != nil {
			t.Errorf("%s: said %q, %v, want %q", line, got, err, want)
		}
		_, _ = stdin.Write([]byte{3}) // Ctrl-C; the command may have ended already
		_ = command.Wait()            // ended by that signal
	}
}

func TestSubscribe_Refusals(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"cursors": {[]string{"a", "b", "--cursor", "e:1"}, "--cursor belongs to one channel"},
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

func TestSubscribe_PrintsAllFieldsAsJSON(t *testing.T) {
	m := client.Message{
		Channel: "c", Kind: client.Text, Payload: []byte("<hi>"), Event: "said", Tags: map[string]string{"color": "red"},
		User: "ada", Info: json.RawMessage(`{"name":"Ada"}`), Cursor: "e:1", Time: time.UnixMilli(1000),
	}
	const want = `{"channel":"c","text":"<hi>","event":"said","tags":{"color":"red"},"user":"ada","info":{"name":"Ada"},"cursor":"e:1","time":1000}`
	if line, err := (&subscribing{json: true}).line(m); err != nil || strings.TrimSpace(string(line)) != want {
		t.Errorf("%s, %v, want %s", line, err, want)
	}
}

// A message must not control the terminal of the one who reads it.
func TestSubscribe_ReplacesControlCharactersAtATerminal(t *testing.T) {
	t.Parallel()
	url := startReady(t, nil).socket()
	command := atTerminal(t, "subscribe c --url "+url)
	stdin, err := command.StdinPipe()
	must(t, err)
	stdout, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	defer func() {
		_, _ = stdin.Write([]byte{3}) // Ctrl-C: if only script(1) were killed, the command would go on where hang-ups are ignored
		_ = command.Wait()
	}()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "listening to c") {
	}
	_, _, err = execute(t, newPublishCommand(), "\x1b[2Jhi\u009b", "c", "--url", url)
	must(t, err)
	if lines.Scan(); strings.TrimSpace(lines.Text()) != "\ufffd[2Jhi\ufffd" {
		t.Errorf("the terminal gets %q", lines.Text())
	}
}
