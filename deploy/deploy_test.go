// Package deploy holds no code: its tests hold the files for deployment to the
// gateway that they deploy.
package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"tidegate/broker/brokertest"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(tests{m}, goleak.Cleanup(func(code int) {
		os.RemoveAll(built.folder)
		os.Exit(code)
	}))
}

type tests struct{ *testing.M }

// Run closes idle connections at the end: one on which nothing was ever sent does not end with
// the node (TCP_DEFER_ACCEPT).
func (m tests) Run() int {
	defer http.DefaultClient.CloseIdleConnections()
	return m.M.Run()
}

// built is tidegate, once for all tests that run it.
var built struct {
	once         sync.Once
	folder, path string
	err          error
}

// tidegate returns the path of the program.
func tidegate(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "tidegate-deploy"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.folder, "tidegate")
		var out []byte
		if out, built.err = exec.Command("go", "build", "-o", built.path, "../cmd/tidegate").CombinedOutput(); built.err != nil {
			built.err = fmt.Errorf("%w: %s", built.err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func TestYAML_Parses(t *testing.T) {
	files := []string{"../docker-compose.yml"}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if path == "helm/templates" {
			return fs.SkipDir // they become YAML
		}
		if ext := filepath.Ext(path); ext == ".yml" || ext == ".yaml" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 8 {
		t.Fatalf("found only %v: %v", files, err)
	}
	for _, file := range files {
		for _, document := range documents(t, file) {
			if len(document) == 0 {
				t.Errorf("%s has a document without keys", file)
			}
		}
	}
}

func TestPrometheus_RulesFireWhenTheyShould(t *testing.T) {
	promtool := brokertest.FindProgram(t, "promtool")
	run(t, promtool, "check", "config", "prometheus/prometheus.yml")
	run(t, promtool, "test", "rules", "prometheus/alerts_test.yml")
}

func TestAlerts_AreAllTested(t *testing.T) {
	tests := read(t, "prometheus/alerts_test.yml")
	for _, name := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, "prometheus/alerts.yml"), -1) {
		if !strings.Contains(tests, `alertname="`+name[1]+`"`) {
			t.Errorf("no test sees %s fire", name[1])
		}
	}
}

// Who stops a node must leave it the time to send its sessions away.
func TestStopping_LeavesTimeToDrain(t *testing.T) {
	const lastNotice = 2 * time.Second
	gateway := documents(t, "../docker-compose.yml")[0].at("services", "gateway")
	demo := documents(t, "compose/tidegate.yaml")[0]
	if grace := gateway.duration(t, "stop_grace_period"); grace <= demo.duration(t, "drain", "window")+lastNotice {
		t.Errorf("docker-compose.yml stops a node after %v", grace)
	}

	config, pod := kubernetes(t)
	grace := time.Duration(pod["terminationGracePeriodSeconds"].(int)) * time.Second
	container := pod["containers"].([]any)[0].(mapping)
	preStop := time.Duration(container.at("lifecycle", "preStop", "sleep")["seconds"].(int)) * time.Second
	if grace <= config.duration(t, "drain", "window")+lastNotice+preStop {
		t.Errorf("Kubernetes stops a node after %v", grace)
	}
}

func TestConfigurations_AreValid(t *testing.T) {
	tidegate := tidegate(t)
	run(t, tidegate, "check", "compose/tidegate.yaml")

	// The secrets that the comment in the file makes are files in a pod.
	secrets := t.TempDir()
	for _, name := range []string{"redis-url", "jwt-secret", "backend-key"} {
		write(t, filepath.Join(secrets, name), "redis://redis:6379/0?"+strings.Repeat("x", 32)+name)
	}
	write(t, filepath.Join(secrets, "redis-url"), "redis://redis:6379/0")
	text := documents(t, "kubernetes/tidegate.yaml")[0].at("data")["tidegate.yaml"].(string)
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write(t, file, strings.ReplaceAll(text, "/run/secrets/tidegate", secrets))
	run(t, tidegate, "check", file)
}

func TestCompose_MountsWhatIsThere(t *testing.T) {
	for name, service := range documents(t, "../docker-compose.yml")[0].at("services") {
		volumes, _ := service.(mapping)["volumes"].([]any)
		for _, volume := range volumes {
			source, _, _ := strings.Cut(volume.(string), ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestDashboard_IsWhole(t *testing.T) {
	var dashboard struct {
		Panels     []panel `json:"panels"`
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			} `json:"list"`
		} `json:"templating"`
	}
	must(t, json.Unmarshal([]byte(read(t, dashboardFile)), &dashboard))
	source := dashboard.Templating.List[0]
	if source.Type != "datasource" || source.Query != "prometheus" {
		t.Errorf("the first variable is %+v, want the data source, so that any Prometheus of a Grafana can be chosen", source)
	}
	seen := map[int]string{}
	for _, p := range dashboard.Panels {
		if other, twice := seen[p.ID]; twice {
			t.Errorf("%q and %q have the same id", p.Title, other)
		}
		seen[p.ID] = p.Title
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		if want := "${" + source.Name + "}"; p.Type != "row" && p.Datasource.UID != want {
			t.Errorf("%q asks the data source %q, want %q", p.Title, p.Datasource.UID, want)
		}
	}
}

const dashboardFile = "grafana/dashboards/tidegate.json"

type panel struct {
	ID         int    `json:"id"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Datasource struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

// kubernetes returns the gateway's configuration and its pod's spec.
func kubernetes(t *testing.T) (config, pod mapping) {
	t.Helper()
	all := documents(t, "kubernetes/tidegate.yaml")
	must(t, yaml.Unmarshal([]byte(all[0].at("data")["tidegate.yaml"].(string)), &config))
	return config, all[1].at("spec", "template", "spec")
}

// mapping is a YAML mapping.
type mapping map[string]any

func (m mapping) at(path ...string) mapping {
	for _, key := range path {
		m, _ = m[key].(mapping)
	}
	return m
}

func (m mapping) duration(t *testing.T, path ...string) time.Duration {
	t.Helper()
	last := len(path) - 1
	text, _ := m.at(path[:last]...)[path[last]].(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%v: %v", path, err)
	}
	return d
}

func documents(t *testing.T, file string) []mapping {
	t.Helper()
	return parse(t, file, read(t, file))
}

func parse(t *testing.T, name, text string) []mapping {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var all []mapping
	for {
		var one mapping
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, one)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	return string(content)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(content), 0o600))
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// must fails the test if err is not nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
