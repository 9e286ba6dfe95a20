package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"tidegate/gateway"
)

const (
	openRules   = "channels: [{match: '*', subscribe: anyone, publish: anyone}]\n"
	closedRules = "channels: [{match: '*', subscribe: nobody}]\n"
)

func TestReload_ABrokenFileChangesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	put(t, file, openRules)
	p := startNode(t, nil, "--config", file)

	put(t, file, "chanels: []")
	p.signal(syscall.SIGHUP)
	p.waitFor("unknown key chanels: the nearest known one is channels")

	put(t, file, "")
	p.signal(syscall.SIGHUP)
	p.waitFor("to begin or to end development takes a restart")

	put(t, file, closedRules)
	p.signal(syscall.SIGHUP)
	p.waitFor("reloaded rules and keys")
}

func TestReload_WarnsLikeTheStart(t *testing.T) {
	t.Parallel()
	file := write(t, "tidegate.yaml", openRules)
	p := startNode(t, nil, "--config", file)
	put(t, file, "channels: [{match: '*', subscribe: anyone}, {match: 'chat:*', subscribe: anyone}]\n")
	p.signal(syscall.SIGHUP)
	p.waitFor("channels[1]: the rule for \\\"chat:*\\\" never applies")
	p.waitFor("reloaded rules and keys")
}

// A node that runs is healthy, whatever its file says by now.
func TestHealth_MistakesInTheFileAreNoneOfTheNode(t *testing.T) {
	t.Parallel()
	file := write(t, "tidegate.yaml", "internal_listen: 127.0.0.1:0\n"+openRules)
	p := startNode(t, nil, "--config", file)
	for content, want := range map[string]int{
		"internal_listen: '" + p.internal("")[len("http://"):] + "'\nchanels: []\nlisten: 7\n": 0,
		"internal_listen: 7\n": 1,
	} {
		put(t, file, content)
		if _, details, code := operate(t, nil, "health", "--config", file); code != want {
			t.Errorf("%q: exit code %d, %s", content, code, details)
		}
	}
}

// A withdrawn key is refused. Sessions of tokens stay until the tokens are renewed;
// sessions of an API key end.
func TestReload_AKeyThatIsWithdrawnOpensNothing(t *testing.T) {
	t.Parallel()
	const former = "the former secret of thirty-two bytes and more"
	configOf := func(secret, key string) string {
		return openRules + "auth: {jwt: {secret: '" + secret + "'}, api_keys: [{name: shop, key: '" + key + "'}, {name: other, key: 'another key of a backend'}]}\n"
	}
	file := write(t, "tidegate.yaml", configOf(former, backendKey))
	p := startReady(t, nil, "--config", file)
	old, _ := makeToken(t, "--secret", former, "--user", "alice")
	alice, shop, other := visitor{"alice", old}, visitor{"shop", backendKey}, visitor{"other", "another key of a backend"}
	open := map[visitor]*websocket.Conn{}
	for _, v := range []visitor{alice, shop, other} {
		open[v] = openNative(t, p, v, byHeader)
	}

	put(t, file, configOf(tokenSecret, "the next key of the shop"))
	p.signal(syscall.SIGHUP)
	p.waitFor("reloaded rules and keys")

	for _, v := range []visitor{alice, shop} {
		if c, code := dialAs(t, p, v, byHeader, "/ws"); code != gateway.Unauthenticated {
			t.Errorf("%s: %v, %q", v.name, c, code)
		}
	}
	expectClose(t, open[shop], "the API key was withdrawn")
	for _, v := range []visitor{alice, other} {
		if code := ask(t, open[v], `{"type":"subscribe","id":7,"channel":"room"}`, "subscribed"); code != "" {
			t.Errorf("%s is refused: %s", v.name, code)
		}
	}
	say(t, open[alice], websocket.MessageText, `{"type":"auth","id":8,"token":"`+forgeToken(`{"sub":"alice"}`)+`"}`)
	hearType(t, open[alice], "welcome")
	say(t, open[alice], websocket.MessageText, `{"type":"auth","id":9,"token":"`+old+`"}`)
	expectClose(t, open[alice], "signature")
}

// expectClose reads until the connection is closed with the given reason.
func expectClose(t *testing.T, c *websocket.Conn, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			if closed := (websocket.CloseError{}); !errors.As(err, &closed) || !strings.Contains(closed.Reason, why) {
				t.Errorf("closed with %v, want %q", err, why)
			}
			return
		}
	}
}

// put replaces a file atomically.
func put(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.WriteFile(file+".new", []byte(text), 0o600))
	must(t, os.Rename(file+".new", file))
}
