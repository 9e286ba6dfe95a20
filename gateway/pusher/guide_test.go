package pusher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// guided returns the guide's code block in a language that starts with beginning.
func guided(t *testing.T, language, beginning string) string {
	t.Helper()
	guide, err := os.ReadFile("README.md")
	must(t, err)
	_, code, found := strings.Cut(string(guide), "```"+language+"\n"+beginning)
	code, _, whole := strings.Cut(code, "```")
	if !found || !whole {
		t.Fatalf("the guide has no %s that begins with %q", language, beginning)
	}
	return beginning + code
}

// snippet is a code block of the guide, with a line to append that calls its authorize.
type snippet struct {
	language, beginning, authorize string
	command                        []string // the command to run a file with
}

var snippets = []snippet{
	{"sh", "body=", "", []string{"sh"}},
	{"php", "<?php", `echo "\n", authorize($key, $secret, getenv('SOCKET'), getenv('CHANNEL'), getenv('DATA') ?: null);`, []string{"php"}},
	{"ruby", "require", `print "\n", authorize(key, secret, ENV["SOCKET"], ENV["CHANNEL"], ENV["DATA"] == "" ? nil : ENV["DATA"])`, []string{"ruby"}},
	{"python", "import", `print("\n" + authorize(key, secret, os.environ["SOCKET"], os.environ["CHANNEL"], os.environ["DATA"] or None), end="")`, []string{"python3"}},
}

// run runs the guide's code and returns what it prints: the answer to its request, and the
// result of authorize for a subscription.
func (s *snippet) run(t *testing.T, n *node, socket, channel, data string) (answer, authorized string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snippet."+s.language)
	must(t, os.WriteFile(file, []byte(guided(t, s.language, s.beginning)+s.authorize), 0o600))
	command := exec.CommandContext(t.Context(), brokertest.FindProgram(t, s.command[0]), append(s.command[1:], file)...)
	command.Env = append(os.Environ(), "GATEWAY="+n.server.URL, "APP_ID="+shop.ID, "APP_KEY="+shop.Key, "APP_SECRET="+shop.Secret,
		"SOCKET="+socket, "CHANNEL="+channel, "DATA="+data)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answer, authorized, _ = strings.Cut(string(out), "\n")
	return answer, authorized
}

// The guide shows how to sign without a library.
func TestGuide_SignsByHand(t *testing.T) {
	for _, s := range snippets {
		t.Run(s.language, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, gateway.Config{})
			listener := n.native("news")
			p, socket := n.connect(shop)
			for channel, data := range map[string]string{"private-x": "", "presence-x": `{"user_id":"7"}`} {
				answer, authorized := s.run(t, n, socket, channel, data)
				if answer != "{}" {
					t.Fatalf("answered by %s", answer)
				}
				if f := listener.finds("type", "message"); fmt.Sprint(f["data"]) != "map[text:hi]" || f.text("event") != "said" {
					t.Errorf("heard %v", f)
				}
				if s.authorize == "" {
					continue
				}
				body, whole := strings.CutPrefix(authorized, "{")
				if !whole {
					t.Fatalf("authorized by %s", authorized)
				}
				p.say(`{"event":"pusher:subscribe","data":{"channel":"` + channel + `",` + body + `}`)
				if f := p.finds("channel", channel); f.text("event") != "pusher_internal:subscription_succeeded" {
					t.Errorf("heard %v", f)
				}
			}
		})
	}
}

// Without the frameworks, the test can only check the syntax of the guide's lines for them.
func TestGuide_LinesForFrameworksCanBeParsed(t *testing.T) {
	for _, c := range []struct {
		language, beginning, before, after string
		command                            []string
	}{
		{"php", "// Laravel", "<?php return [\n", "];", []string{"php", "-l"}},
		{"ruby", "# Rails", "", "", []string{"ruby", "-c"}},
		{"python", "# Django", "", "", []string{"python3", "-m", "py_compile"}},
	} {
		file := filepath.Join(t.TempDir(), "lines."+c.language)
		must(t, os.WriteFile(file, []byte(c.before+guided(t, c.language, c.beginning)+c.after), 0o600))
		check := exec.CommandContext(t.Context(), brokertest.FindProgram(t, c.command[0]), append(c.command[1:], file)...)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.language, err, out)
		}
	}
}
