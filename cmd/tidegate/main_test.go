package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test binary act as tidegate, for tests of processes.
func TestMain(m *testing.M) {
	if os.Getenv("BE_TIDEGATE") != "" {
		main()
	}
	goleak.VerifyTestMain(tests{m})
}

type tests struct{ *testing.M }

// Run closes idle connections at the end: one on which nothing was ever sent does not end with
// the node (TCP_DEFER_ACCEPT).
func (m tests) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return m.M.Run()
}

// patience is how long a busy machine may take.
const patience = time.Minute

// process is a running tidegate.
type process struct {
	t       *testing.T
	command *exec.Cmd
	done    chan struct{} // closed when it has ended and all output was read

	// Guarded by mu.
	mu     sync.Mutex
	output []string
	news   chan struct{} // closed and replaced when there is more output
}

// start runs tidegate in the given environment.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return startProgram(t, os.Args[0], environ, args...)
}

// startProgram is like start, for another build of tidegate.
func startProgram(t *testing.T, path string, environ []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.Command(path, args...), done: make(chan struct{}), news: make(chan struct{})}
	p.command.Env = append([]string{"BE_TIDEGATE=1", "GORACE=atexit_sleep_ms=0"}, environ...)
	p.command.Dir = t.TempDir()
	read, write := io.Pipe()
	p.command.Stdout, p.command.Stderr = write, write
	must(t, p.command.Start())
	var reading sync.WaitGroup
	reading.Go(func() { p.collect(read) })
	go func() {
		defer close(p.done)
		_ = p.command.Wait() // ProcessState has the result
		write.Close()
		reading.Wait()
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill() // it may have ended already
		<-p.done
		if line, _ := p.find("DATA RACE"); line != "" {
			t.Errorf("tidegate has a data race:\n%s", p.said())
		}
	})
	return p
}

// startNode runs tidegate on free ports and returns once it serves.
func startNode(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return startNodeOf(t, os.Args[0], environ, args...)
}

// startNodeOf is like startNode, for another build of tidegate.
func startNodeOf(t *testing.T, path string, environ []string, args ...string) *process {
	t.Helper()
	p := startProgram(t, path, append([]string{"TIDEGATE_LISTEN=127.0.0.1:0", "TIDEGATE_INTERNAL_LISTEN=127.0.0.1:0"}, environ...),
		append([]string{"--log-format=json", "--log-level=debug"}, args...)...)
	p.waitFor(`"msg":"serving"`)
	return p
}

// startReady is like startNode but returns once the node takes traffic.
func startReady(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	p := startNode(t, environ, args...)
	eventually(t, p.public("/readyz"), http.StatusOK)
	return p
}

// write puts text into a new file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	put(t, path, text)
	return path
}

func (p *process) collect(output io.Reader) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		p.mu.Lock()
		p.output = append(p.output, lines.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
}

// waitFor blocks until a line of output contains text and returns the line.
func (p *process) waitFor(text string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		line, news := p.find(text)
		if line != "" {
			return line
		}
		select {
		case <-news:
		case <-p.done:
			if line, _ := p.find(text); line != "" {
				return line
			}
			p.t.Fatalf("tidegate ended without saying %q:\n%s", text, p.said())
		case <-deadline:
			p.t.Fatalf("tidegate did not say %q:\n%s", text, p.said())
		}
	}
}

func (p *process) find(text string) (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.output {
		if strings.Contains(line, text) {
			return line, nil
		}
	}
	return "", p.news
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.output, "\n")
}

// wait returns the exit code, or -1 if a signal ended the process.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.command.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("tidegate did not end:\n%s", p.said())
		return 0
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	must(p.t, p.command.Process.Signal(s))
}

// public and internal return a URL on one of the listeners.
func (p *process) public(path string) string   { return p.url("console", path) }
func (p *process) internal(path string) string { return p.url("metrics", path) }

func (p *process) url(place, path string) string {
	p.t.Helper()
	var record map[string]string
	must(p.t, json.Unmarshal([]byte(p.waitFor(`"msg":"serving"`)), &record))
	base := strings.TrimSuffix(strings.TrimSuffix(record[place], "metrics"), "/")
	return base + path
}

// get returns the status and the body of the answer.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status, body, err := tryGet(ctx, url)
	must(t, err)
	return status, body
}

func tryGet(ctx context.Context, url string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// eventually requests url until the answer has that status.
func eventually(t *testing.T, url string, status int) (body string) {
	t.Helper()
	await(t, fmt.Sprintf("GET %s to be answered by %d", url, status), func() (met bool, seen string) {
		var got int
		var err error
		got, body, err = tryGet(t.Context(), url)
		return err == nil && got == status, fmt.Sprint(got, " ", body, " ", err)
	})
	return body
}

// await calls look until it returns true. If that never happens, it reports what was seen last.
func await(t testing.TB, what string, look func() (met bool, seen string)) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		met, seen := look()
		if met {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s: %s", what, seen)
		}
	}
}

// must fails the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
