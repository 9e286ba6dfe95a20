package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"tidegate/broker/brokertest"
	"tidegate/cmd/tidegate/internal/config"
)

const repository = "../.."

// documentsOf returns the content of all files of the repository with that ending, by path.
func documentsOf(t *testing.T, ending string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ending) {
			var content []byte
			content, err = os.ReadFile(path)
			texts[path] = string(content)
		}
		return err
	})
	if err != nil || len(texts) == 0 {
		t.Fatal("nothing to read", err)
	}
	return texts
}

func TestDocuments_LinksLeadSomewhere(t *testing.T) {
	texts := documentsOf(t, ".md")
	link := regexp.MustCompile(`\]\(([^)\s]*)\)`)
	for path, text := range texts {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			file, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if anchor != "" && !slices.Contains(anchorsOf(texts[target]), anchor) {
				t.Errorf("%s: %s has no heading #%s", path, target, anchor)
			}
		}
	}
}

// anchorsOf returns the anchors of the headings.
func anchorsOf(text string) (anchors []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors = append(anchors, strings.ReplaceAll(name, " ", "-"))
	}
	return anchors
}

func TestDocuments_ConfigurationsAreUnderstood(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	read := 0
	for path, text := range documentsOf(t, ".md") {
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(found[1], "scrape_configs:") {
				continue
			}
			read++
			if _, err := config.File(write(t, "tidegate.yaml", found[1]), nil).Read(); err != nil {
				t.Errorf("%s: %v in\n%s", path, err, found[1])
			}
		}
	}
	if read < 5 {
		t.Errorf("found only %d configurations", read)
	}
}

// Every tidegate command line in a document must use existing commands and flags.
func TestDocuments_CommandLinesAreUnderstood(t *testing.T) {
	line := regexp.MustCompile("(?m)(?:^ {4,}|[`(])tidegate( [^`\n]*)")
	benchmark := regexp.MustCompile("\\| `((?:fan-out|rooms|publish|connect|idle) [^`]*)`")
	read := 0
	for path, text := range documentsOf(t, ".md") {
		text = strings.ReplaceAll(text, "\\\n", " ")
		var lines []string
		for _, found := range line.FindAllStringSubmatch(text, -1) {
			lines = append(lines, found[1])
		}
		for _, found := range benchmark.FindAllStringSubmatch(text, -1) {
			lines = append(lines, "bench "+found[1])
		}
		for _, one := range lines {
			read++
			if err := understands(one); err != nil {
				t.Errorf("%s: tidegate %s: %v", path, one, err)
			}
		}
	}
	if read < 20 {
		t.Errorf("found only %d command lines", read)
	}
}

// understands returns an error if a command line has an unknown command or flag.
func understands(line string) error {
	line, _, _ = strings.Cut(line, "#")
	line, _, _ = strings.Cut(line, " &")
	line = regexp.MustCompile(`'[^']*'|"[^"]*"|\$\(.*?\)|\$!|\bGA?B?\b`).ReplaceAllString(line, "1")
	command, flags, err := newRootCommand().Find(strings.Fields(strings.ReplaceAll(line, ")", "")))
	if err != nil {
		return err
	}
	if err := command.ParseFlags(flags); !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return nil
}

// Every test that a document names as a proof must exist.
func TestDocuments_TestsAreThere(t *testing.T) {
	var code strings.Builder
	for _, text := range documentsOf(t, "_test.go") {
		code.WriteString(text)
	}
	named := regexp.MustCompile("`…?((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)")
	read := 0
	for path, text := range documentsOf(t, ".md") {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			read++
			if !strings.Contains(code.String(), "func "+found[1]) {
				t.Errorf("%s names %s, which is no test", path, found[1])
			}
		}
	}
	if read < 50 {
		t.Errorf("found only %d tests", read)
	}
}

// The publish commands of the README, unchanged apart from addresses, reach its subscribe
// commands and a raw socket.
func TestReadme_ItsClientsMeet(t *testing.T) {
	t.Parallel()
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	node := startReady(t, []string{"TIDEGATE_REDIS_URL=" + redis.URL()})
	shell := newReadmeShell(t, node, redis.Addr)
	listener := newRawTalker(t, strings.TrimPrefix(node.public(""), "http://"))
	listening := map[string]string{} // files with the output of commands
	blocks := readmeBlocks(t, "One channel, every client")
	for _, block := range blocks {
		if regexp.MustCompile(`^(curl -N|redis-cli SUBSCRIBE|tidegate subscribe) `).MatchString(block) {
			listening[block] = shell.begin(t, block)
		}
	}
	for block, heard := range listening {
		if strings.HasPrefix(block, "redis-cli") {
			awaitInFile(t, heard, []string{"subscribe"}, block)
		}
	}
	eventuallySays(t, node, `"channel":"chat:lobby","sessions":3,`)
	var greetings []string
	for _, block := range blocks {
		for _, greeting := range regexp.MustCompile(`hi from (curl|Python|a raw socket|Redis|a shell)`).FindAllString(block, -1) {
			shell.run(t, block)
			listener.hears(greeting)
			greetings = append(greetings, greeting)
		}
	}
	if len(listening) != 3 || len(greetings) != 5 {
		t.Fatalf("%q listen, and %q is said", listening, greetings)
	}
	for block, heard := range listening {
		awaitInFile(t, heard, greetings, block)
	}
}

// eventuallySays blocks until the node reports that about its channels.
func eventuallySays(t *testing.T, node *process, want string) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		_, body := get(t, node.public("/api/channels"))
		if strings.Contains(body, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the channels are %s", body)
		}
	}
}

// awaitInFile blocks until a file contains all of the texts.
func awaitInFile(t *testing.T, path string, texts []string, what string) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		said, err := os.ReadFile(path)
		missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(string(said), text) })
		if err == nil && len(missing) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s\nis without %q: %s, %v", what, missing, said, err)
		}
	}
}

// readmeBlocks returns the code of a section: shell commands with continued lines, and
// whole Python programs.
func readmeBlocks(t *testing.T, section string) (blocks []string) {
	t.Helper()
	content, err := os.ReadFile(repository + "/README.md")
	must(t, err)
	_, text, _ := strings.Cut(string(content), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, found := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, found[1])
	}
	for _, found := range regexp.MustCompile(`(?m)^ {4}((?:.*\\\n)*.*)$`).FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// readmeShell runs blocks with the addresses of a node and this binary as tidegate.
type readmeShell struct {
	python    string
	elsewhere *strings.Replacer
	environ   []string
	folder    string
}

func newReadmeShell(t *testing.T, node *process, redis string) *readmeShell {
	t.Helper()
	python := brokertest.FindProgram(t, "/usr/bin/python3", "python3")
	if exec.Command(python, "-c", "import websocket").Run() != nil {
		python = brokertest.FindProgram(t, "a python3 with websocket-client")
	}
	port := redis[strings.LastIndexByte(redis, ':')+1:]
	address := strings.TrimPrefix(node.public(""), "http://")
	return &readmeShell{
		python:    python,
		elsewhere: strings.NewReplacer("127.0.0.1:8080", address, "redis-cli ", "redis-cli -p "+port+" "),
		environ:   append(withTidegate(t), "TIDEGATE_URL=http://"+address),
		folder:    t.TempDir(),
	}
}

func (s *readmeShell) command(t *testing.T, block string) *exec.Cmd {
	command := exec.CommandContext(t.Context(), brokertest.FindProgram(t, "bash"), "-c", "exec "+s.elsewhere.Replace(block))
	if strings.HasPrefix(block, "import ") {
		command = exec.CommandContext(t.Context(), s.python, "-c", s.elsewhere.Replace(block))
	}
	command.Dir, command.Env = s.folder, s.environ
	return command
}

func (s *readmeShell) run(t *testing.T, block string) {
	t.Helper()
	if out, err := s.command(t, block).CombinedOutput(); err != nil {
		t.Errorf("%s\n%v\n%s", block, err, out)
	}
}

// begin starts a block that runs until the test ends, and returns the file with its output.
func (s *readmeShell) begin(t *testing.T, block string) string {
	t.Helper()
	heard, err := os.CreateTemp(s.folder, "heard")
	must(t, err)
	defer heard.Close()
	command := s.command(t, block)
	command.Stdout, command.Stderr = heard, heard
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended already
		_ = command.Wait()
	})
	return heard.Name()
}

// Each line written to the log file of the README becomes a message.
func TestReadme_FollowsALogFile(t *testing.T) {
	t.Parallel()
	node := startReady(t, nil)
	shell := newReadmeShell(t, node, "127.0.0.1:0")
	log := filepath.Join(shell.folder, "app.log")
	put(t, log, "")
	for _, block := range readmeBlocks(t, "One channel, every client") {
		if strings.HasPrefix(block, "tidegate tail ") {
			shell.begin(t, block)
		}
	}
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		file, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(file, "line %d\n", n)
			err = errors.Join(err, file.Close())
		}
		must(t, err)
		if _, body := get(t, node.public("/api/channels/logs:app/messages")); strings.Contains(body, "line ") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no line of the file is a message")
		}
	}
}
