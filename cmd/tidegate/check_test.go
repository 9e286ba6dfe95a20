package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"tidegate/cmd/tidegate/internal/config"
)

// Each testdata/check/*.yaml is checked from within that folder, and the output must equal
// the *.golden file beside it.
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
			if memory := strings.Index(out.String(), "  memory "); memory >= 0 { // it depends on the machine
				out.Truncate(memory)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				must(t, os.WriteFile(golden, out.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
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
		{[]string{"--redis-url", "redis+cluster://127.0.0.1:7000", "chat:lobby"}, "tidegate:{91}:chat:lobby"},
		{[]string{"two words"}, "tidegate: the channel's name has a space or a control character in it"},
	} {
		p := start(t, nil, append([]string{"channel"}, c.args...)...)
		p.wait()
		if got := p.said(); got != c.want {
			t.Errorf("channel %q: %q, want %q", c.args, got, c.want)
		}
	}
}

// The shipped deployment files must provide the memory that their limits add up to.
func TestMemory_OfTheShippedFilesIsEnough(t *testing.T) {
	compose := yamlOf(t, "../../docker-compose.yml")
	kubernetes := yamlOf(t, "../../deploy/kubernetes/tidegate.yaml")
	inPod := write(t, "tidegate.yaml", at(kubernetes[0], "data", "tidegate.yaml").(string))
	pod := at(kubernetes[1], "spec", "template", "spec", "containers").([]any)[0]
	for _, c := range []struct{ name, file, given string }{
		{"docker-compose.yml", "../../deploy/compose/tidegate.yaml", at(compose[0], "services", "gateway", "mem_limit").(string)},
		{"deploy/kubernetes", inPod, at(pod, "resources", "limits", "memory").(string)},
	} {
		settings, err := config.File(c.file, nil).Read()
		must(t, err)
		var mebibytes int64
		if _, err := fmt.Sscanf(strings.ToLower(strings.TrimSuffix(c.given, "i")), "%dm", &mebibytes); err != nil {
			t.Fatalf("%s: %q: %v", c.name, c.given, err)
		}
		sum, unbounded := settings.Memory().Container()
		if len(unbounded) > 0 {
			t.Errorf("%s: without a bound are %q", c.name, unbounded)
		}
		if given := mebibytes << 20; sum > given || sum < given*3/4 {
			t.Errorf("%s gives a node %s, and its limits come to %s", c.name, c.given, config.Size(sum))
		}
	}
}

func TestBounds_TheTableIsThatOfCheck(t *testing.T) {
	document, err := os.ReadFile("../../deploy/README.md")
	must(t, err)
	kubernetes := yamlOf(t, "../../deploy/kubernetes/tidegate.yaml")
	settings, err := config.File(write(t, "tidegate.yaml", at(kubernetes[0], "data", "tidegate.yaml").(string)), nil).Read()
	must(t, err)
	var table strings.Builder
	writeMemory(&table, settings.Memory())
	for line := range strings.Lines(table.String()) {
		if want := "    " + strings.TrimRight(line, " \n"); !strings.Contains(string(document), want+"\n") {
			t.Errorf("deploy/README.md lacks %q", want)
		}
	}
}

func yamlOf(t *testing.T, file string) (documents []any) {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	for decoder := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var one any
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return documents
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		documents = append(documents, one)
	}
}

// at returns the value at a path of a YAML document.
func at(node any, path ...string) any {
	for _, key := range path {
		node = node.(map[string]any)[key]
	}
	return node
}

// The process keeps its memory below the sum by itself.
func TestServe_CollectsGarbageBeforeTheSumIsReached(t *testing.T) {
	t.Parallel()
	environ := []string{
		"TIDEGATE_REDIS_URL=redis://127.0.0.1:1", "TIDEGATE_LIMITS_SESSIONS=1000", "TIDEGATE_LIMITS_CONNECTIONS=100", "TIDEGATE_LIMITS_SUBSCRIPTIONS=1000",
	}
	settings, err := config.NewSource(pflag.NewFlagSet("", pflag.ContinueOnError), environ).Read()
	must(t, err)
	want, _ := settings.Memory().Process()
	for limit, environ := range map[int64][]string{
		want:      environ,
		123 << 20: append(environ, "GOMEMLIMIT=123MiB"),
	} {
		_, metrics := get(t, startNode(t, environ).internal("/metrics"))
		_, line, _ := strings.Cut(metrics, "\ngo_gc_gomemlimit_bytes ")
		line, _, _ = strings.Cut(line, "\n")
		if got, err := strconv.ParseFloat(line, 64); err != nil || int64(got) != limit {
			t.Errorf("the memory limit is %q, want %d", line, limit)
		}
	}
}
