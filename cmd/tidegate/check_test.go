package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/config"
)

// Each testdata/check/*.yaml is checked, from within that folder, and what is
// printed must be the *.golden beside it.
func TestCheck_Golden(t *testing.T) {
	t.Chdir("testdata/check")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			var out bytes.Buffer
			if err := check(&out, config.File(file, nil)); err != nil {
				fmt.Fprintln(&out, "exit 1")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
			}
		})
	}
}

func TestCheck_TheDemonstrationIsGood(t *testing.T) {
	var out bytes.Buffer
	if err := check(&out, config.File("../../deploy/compose/tidegate.yaml", nil)); err != nil {
		t.Errorf("%v:\n%s", err, &out)
	}
}

func TestCheck_ShowsNoSecret(t *testing.T) {
	const hunter2 = "hunter2-hunter2-hunter2-hunter2-hunter2"
	file := write(t, "tidegate.yaml", `
redis: {url: "redis://:`+hunter2+`@127.0.0.1"}
auth: {api_keys: [{name: shop, key: `+hunter2+`}], jwt: {secret: `+hunter2+`}}
channels: [{match: "*", subscribe: anyone}]
webhooks: {url: "https://`+hunter2+`@a.example", secret: `+hunter2+`, events: [connect]}
`)
	var out bytes.Buffer
	if err := check(&out, config.File(file, nil)); err != nil || strings.Contains(out.String(), hunter2) {
		t.Errorf("%v, printed:\n%s", err, &out)
	}
}

func TestCheck_ExitsWithOneOnErrors(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "check", write(t, "broken.yaml", "chanels: []"))
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if got, want := p.said(), "broken.yaml:1: unknown key chanels: the nearest known one is channels"; !strings.HasSuffix(got, want) {
		t.Errorf("said %q, want %q", got, want)
	}
	p = start(t, nil, "check", write(t, "good.yaml", "listen: '127.0.0.1:8080'"))
	if code := p.wait(); code != 0 || !strings.HasPrefix(p.said(), "ok\n") {
		t.Errorf("exit code %d, said %q; want 0 and ok", code, p.said())
	}
	p = start(t, nil, "check", "nowhere.yaml")
	if code := p.wait(); code != 1 || !strings.Contains(p.said(), "open nowhere.yaml: no such file") {
		t.Errorf("exit code %d, said %q; want 1 and the file's name", code, p.said())
	}
}

func TestHealth_ExitsAsTheServerIs(t *testing.T) {
	t.Parallel()
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer well.Close()
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready: draining", http.StatusServiceUnavailable)
	}))
	defer ill.Close()
	port := well.URL[strings.LastIndexByte(well.URL, ':'):]
	file := write(t, "tidegate.yaml", "internal_listen: '0.0.0.0"+port+"'")
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		said    string
	}{
		{"well", nil, []string{well.URL}, 0, ""},
		{"ill", nil, []string{ill.URL}, 1, "503 Service Unavailable: not ready: draining"},
		{"away", nil, []string{"http://127.0.0.1:1/healthz"}, 1, "connection refused"},
		{"by the environment", []string{"TIDEGATE_INTERNAL_LISTEN=" + port}, nil, 0, ""},
		{"by the file", []string{"TIDEGATE_CONFIG=" + file}, nil, 0, ""},
		{"by a flag", nil, []string{"--internal-listen", "127.0.0.1:1"}, 1, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, c.environ, append([]string{"health"}, c.args...)...)
			if code := p.wait(); code != c.code || !strings.Contains(p.said(), c.said) {
				t.Errorf("exit code %d, said %q; want %d, %q", code, p.said(), c.code, c.said)
			}
		})
	}
}

func TestChannel_PrintsTheNameInRedis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"chat:lobby"}, "tidegate:chat:lobby"},
		{[]string{"--redis-prefix", "my:", "chat:lobby"}, "my:chat:lobby"},
		{[]string{"--redis-url", "redis+cluster://127.0.0.1:7000", "chat:lobby"}, "tidegate:{25}:chat:lobby"},
		{[]string{"two words"}, "tidegate: bad_request: the channel's name has a space or a control character in it"},
	} {
		p := start(t, nil, append([]string{"channel"}, c.args...)...)
		p.wait()
		if got := p.said(); got != c.want {
			t.Errorf("channel %q: %q, want %q", c.args, got, c.want)
		}
	}
}
