package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tidegate/broker/brokertest"
)

const loginExamples = repository + "/deploy/examples/login/"

// A gateway identifies the users of each backend in deploy/examples/login, by its tokens
// and by its cookies.
func TestLogin_ExamplesInEveryLanguage(t *testing.T) {
	for language, command := range map[string]func(*testing.T, string) []string{
		"Node": func(t *testing.T, _ string) []string {
			return []string{brokertest.FindProgram(t, "node", "nodejs"), loginExamples + "login.mjs"}
		},
		"Python": func(t *testing.T, _ string) []string {
			return []string{brokertest.FindProgram(t, "python3"), loginExamples + "login.py"}
		},
		"Flask":  func(t *testing.T, _ string) []string { return pythonWith(t, "flask", "login_flask.py") },
		"Django": func(t *testing.T, _ string) []string { return pythonWith(t, "django", "login_django.py") },
		"PHP": func(t *testing.T, address string) []string {
			return []string{brokertest.FindProgram(t, "php"), "-S", address, loginExamples + "login.php"}
		},
		"Ruby": func(t *testing.T, _ string) []string {
			return []string{brokertest.FindProgram(t, "ruby"), loginExamples + "login.rb"}
		},
		"Go": func(t *testing.T, _ string) []string {
			binary := filepath.Join(t.TempDir(), "login")
			if out, err := exec.Command("go", "build", "-o", binary, loginExamples).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return []string{binary}
		},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			address := brokertest.FreeAddress(t)
			backend := startBackend(t, address, command(t, address))
			backend.tellsByToken()
			backend.tellsByCookie()
			backend.believesNobodyElse()
		})
	}
}

// pythonWith returns the command that runs an example that needs a framework.
func pythonWith(t *testing.T, framework, example string) []string {
	t.Helper()
	python := brokertest.FindProgram(t, "/usr/bin/python3", "python3")
	if exec.Command(python, "-c", "import "+framework).Run() != nil {
		python = brokertest.FindProgram(t, "a python3 with "+framework)
	}
	return []string{python, loginExamples + example}
}

const (
	loginJWTSecret     = "the secret of tokens, of 32 bytes and more"
	loginWebhookSecret = "the secret of webhooks"
)

// backend is a running example in which alice is logged in.
type backend struct {
	t      *testing.T
	url    string
	cookie string // alice's
}

func startBackend(t *testing.T, address string, command []string) *backend {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	process := exec.Command(command[0], command[1:]...)
	process.Env = append(os.Environ(), "PORT="+port, "JWT_SECRET="+loginJWTSecret, "WEBHOOK_SECRET="+loginWebhookSecret)
	var said bytes.Buffer
	process.Stdout, process.Stderr = &said, &said
	must(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill() // it may have ended already
		_ = process.Wait()
		if t.Failed() {
			t.Logf("the backend said:\n%s", &said)
		}
	})
	b := &backend{t: t, url: "http://" + address}
	eventually(t, b.url+"/token", http.StatusUnauthorized)
	answer, _ := b.ask("POST", b.url+"/login?user=alice", "", nil)
	b.cookie, _, _ = strings.Cut(answer.Header.Get("Set-Cookie"), ";")
	if answer.StatusCode != http.StatusNoContent || b.cookie == "" {
		t.Fatalf("login answers %d with the cookie %q", answer.StatusCode, b.cookie)
	}
	return b
}

func (b *backend) ask(method, url, body string, header http.Header) (*http.Response, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	must(b.t, err)
	if header != nil {
		request.Header = header
	}
	answer, err := http.DefaultClient.Do(request)
	must(b.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(b.t, err)
	return answer, string(text)
}

// configuration returns a configuration with the rules of the page, and more.
func (b *backend) configuration(more string) string {
	return write(b.t, "tidegate.yaml", more+"\nchannels: [{match: \"chat:*\", subscribe: authenticated, publish: authenticated}]\n")
}

func (b *backend) tellsByToken() {
	b.t.Helper()
	node := startReady(b.t, nil, "--config", b.configuration(fmt.Sprintf("auth: {jwt: {secret: %q}}", loginJWTSecret)))
	_, token := b.ask("GET", b.url+"/token", "", http.Header{"Cookie": {b.cookie}})
	for credential, want := range map[string]int{"Bearer " + token: 200, "Bearer " + token[:len(token)-4] + "AAAA": 401, "": 401} {
		header := http.Header{}
		if credential != "" {
			header.Set("Authorization", credential)
		}
		if answer, text := b.ask("POST", node.public("/api/channels/chat:lobby/messages"), "hi", header); answer.StatusCode != want {
			b.t.Errorf("with the credential %q: %d %s, want %d", credential, answer.StatusCode, text, want)
		}
	}
}

func (b *backend) tellsByCookie() {
	b.t.Helper()
	node := startReady(b.t, nil, "--config", b.configuration(fmt.Sprintf("webhooks: {url: %s/tidegate, secret: %q, events: [connect], headers: [Cookie]}", b.url, loginWebhookSecret)))
	welcome := func(cookie string) string {
		ctx, cancel := context.WithTimeout(b.t.Context(), patience)
		defer cancel()
		c, _, err := websocket.Dial(ctx, node.public("/ws"), &websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {cookie}}})
		if err != nil {
			return err.Error()
		}
		defer c.CloseNow()
		_, frame, err := c.Read(ctx)
		return fmt.Sprint(string(frame), err)
	}
	if got := welcome("theme=dark; " + b.cookie); !strings.Contains(got, `"user":"alice"`) {
		b.t.Errorf("with the cookie: %s", got)
	}
	if got := welcome("theme=dark"); strings.Contains(got, `"welcome"`) {
		b.t.Errorf("without the cookie: %s", got)
	}
}

func (b *backend) believesNobodyElse() {
	b.t.Helper()
	for _, signature := range []string{"", "t=1,v1=", "t=x,v1=" + strings.Repeat("0", 64), "t=1767225600,v1=" + strings.Repeat("0", 64)} {
		header := http.Header{"Tidegate-Signature": {signature}}
		if answer, _ := b.ask("POST", b.url+"/tidegate", `{"event":"connect"}`, header); answer.StatusCode != http.StatusUnauthorized {
			b.t.Errorf("signed %q: %d", signature, answer.StatusCode)
		}
	}
}
