package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// shellCommands returns the commands of a document, with continued lines and
// here-documents. A command is indented and begins with the name of a program.
func shellCommands(text string) (commands []string) {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	pattern := regexp.MustCompile(`(?m)^ {4}((?:[A-Z_]+=\S|export |(?:cat|cd|curl|docker|go|kill|node|npm|openssl|promtool|redis-cli|redis-server|tidegate|deploy/module\.sh) )` +
		`(?:.*<<END\n(?: {4}.*\n)*? {4}END|(?:.*\\\n)*.*))$`)
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		commands = append(commands, strings.ReplaceAll(found[1], "\n    ", "\n"))
	}
	return commands
}

// Each command can be pasted into bash and zsh: no comment follows it, which zsh would take
// for arguments, and no character of a URL is special in a shell.
func TestDocuments_CommandsCanBePasted(t *testing.T) {
	quoted := regexp.MustCompile(`(?s)'[^']*'|"[^"]*"`)
	read := 0
	for path, text := range documentsOf(t, ".md") {
		for _, command := range shellCommands(text) {
			read++
			if out, err := exec.Command(brokertest.FindProgram(t, "bash"), "-n", "-c", command).CombinedOutput(); err != nil {
				t.Errorf("%s: %v in\n%s\n%s", path, err, command, out)
			}
			bare, _, _ := strings.Cut(quoted.ReplaceAllString(command, "quoted"), "<<END")
			if regexp.MustCompile(` #|\S   `).MatchString(bare) {
				t.Errorf("%s: a comment follows\n%s", path, command)
			}
			if regexp.MustCompile(`://\S*[?*&\[]`).MatchString(bare) {
				t.Errorf("%s: a URL needs quotes in\n%s", path, command)
			}
		}
	}
	if read < 40 {
		t.Errorf("found only %d commands", read)
	}
}

// The commands also run in zsh, with programs that do nothing: a pattern that matches
// nothing, or a syntax error, fails.
func TestDocuments_CommandsAreGoodInZsh(t *testing.T) {
	zsh := brokertest.FindProgram(t, "zsh")
	const deaf = "for name in cat cd curl docker go kill node npm openssl promtool redis-cli redis-server tidegate deploy/module.sh; do functions[$name]=:; done\n"
	for path, text := range documentsOf(t, ".md") {
		commands := shellCommands(text)
		if len(commands) == 0 {
			continue
		}
		shell := exec.CommandContext(t.Context(), zsh, "-f", "-c", deaf+strings.Join(commands, "\n"))
		shell.Dir = t.TempDir()
		if out, err := shell.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

// pageShell runs the commands of a document like a user who pastes one after the other. It
// waits for a long-running command until it answers, and ends it with Ctrl-C unless the
// command put it into the background.
type pageShell struct {
	folder    string
	elsewhere *strings.Replacer // to free addresses
	ready     map[string]string // by the beginning of a long-running command: the URL that curl requests until it succeeds
	env       []string
}

func (s *pageShell) run(t *testing.T, commands []string) string {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -e -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	for _, command := range commands {
		url := s.answers(command)
		script.WriteString(s.elsewhere.Replace(command))
		if url != "" && !strings.HasSuffix(command, "&") {
			script.WriteString(" &")
		}
		if url != "" {
			fmt.Fprintf(&script, "\nuntil curl --silent --output /dev/null --fail %s; do sleep 0.1; done", url)
		}
		if url != "" && !strings.HasSuffix(command, "&") {
			script.WriteString("\nkill -INT %% && wait %%")
		}
		script.WriteString("\n")
	}
	shell := exec.CommandContext(t.Context(), brokertest.FindProgram(t, "bash"), "-c", script.String())
	shell.Dir, shell.Env = s.folder, append(withTidegate(t), s.env...)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, &script, out)
	}
	return string(out)
}

// answers returns the URL that a long-running command answers; empty if the command ends by
// itself.
func (s *pageShell) answers(command string) string {
	for beginning, url := range s.ready {
		if strings.HasPrefix(command, beginning) {
			return url
		}
	}
	return ""
}

// withTidegate returns an environment in whose PATH tidegate is this binary.
func withTidegate(t *testing.T) []string {
	t.Helper()
	folder := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(folder, "tidegate"))
	}
	must(t, err)
	return append(os.Environ(), "BE_TIDEGATE=1", fmt.Sprintf("PATH=%s:%s", folder, os.Getenv("PATH")))
}

// configurationsOf writes the YAML blocks of a document that begin with a file name.
func configurationsOf(t *testing.T, text, folder string) {
	t.Helper()
	for _, found := range regexp.MustCompile("(?s)```yaml\n# (\\w+\\.yaml)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		put(t, filepath.Join(folder, found[1]), found[2])
	}
}

// Three commands start two nodes, and a message published on one is received on the other.
func TestReadme_TwoNodesInThreeCommands(t *testing.T) {
	t.Parallel()
	brokertest.RequireRedis(t)
	page, err := os.ReadFile(repository + "/README.md")
	must(t, err)
	_, text, _ := strings.Cut(string(page), "### Two nodes on one Redis\n")
	text, _, _ = strings.Cut(text, "\nSubscribe in ")
	free := func() string { return brokertest.FreeAddress(t) }
	redis, one, two, internal, other := free(), free(), free(), free(), free()
	shell := &pageShell{
		folder: t.TempDir(),
		elsewhere: strings.NewReplacer("127.0.0.1:6379", redis, "--port 6379", "--port "+redis[strings.LastIndexByte(redis, ':')+1:],
			"127.0.0.1:8080", one, "127.0.0.1:8081", two, "127.0.0.1:9081", other),
		ready: map[string]string{"tidegate --redis-url redis://127.0.0.1:6379 &": one + "/readyz", "tidegate --redis-url redis://127.0.0.1:6379 --listen": two + "/readyz"},
		env:   []string{"TIDEGATE_LISTEN=" + one, "TIDEGATE_INTERNAL_LISTEN=" + internal},
	}
	commands := shellCommands(text)
	if len(commands) != 3 {
		t.Fatalf("they are %q", commands)
	}
	said := shell.run(t, append(commands,
		`curl -s -d 'hi from one' http://127.0.0.1:8080/api/channels/chat:lobby/messages`,
		`curl -s 'http://127.0.0.1:8081/api/channels/chat:lobby/messages'`))
	if !strings.Contains(said, `"text":"hi from one"`) {
		t.Errorf("the other node does not have it:\n%s", said)
	}
}
