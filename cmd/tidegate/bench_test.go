package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/bench"
)

const benchConfig = `channels: [{match: "bench:*", subscribe: anyone, publish: anyone}]
limits: {commands_per_second: 0, bytes_per_second: 0}
`

// runBench runs a benchmark of a node as a process and returns its report.
func runBench(t *testing.T, node *process, args ...string) (report bench.Report) {
	t.Helper()
	return benchReport(t, append([]string{args[0], "--url", benchURL(node)}, args[1:]...)...)
}

func benchReport(t *testing.T, args ...string) (report bench.Report) {
	t.Helper()
	p := start(t, nil, slices.Concat([]string{"bench"}, args, []string{"--json"})...)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.said())
	}
	if err := json.Unmarshal([]byte(p.said()), &report); err != nil {
		t.Fatalf("%v in\n%s", err, p.said())
	}
	return report
}

func benchURL(node *process) string { return strings.Replace(node.public("/ws"), "http", "ws", 1) }

func startBenchNode(t *testing.T, config string, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	return startReady(t, nil, append([]string{"--config", file}, args...)...)
}

func TestBench_EveryListenerGetsEverything(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, benchConfig, "--compression-enabled", "--compression-min-bytes=1000")
	pid := strconv.Itoa(node.command.Process.Pid)
	for _, args := range [][]string{
		{"fan-out", "--subscribers", "50", "--payload", "1024", "--compress"},
		{"fan-out", "--subscribers", "50", "--pid", pid},
		{"fan-out", "--subscribers", "50", "--rate", "200", "--metrics", node.internal("/metrics")},
		{"rooms", "--rooms", "20", "--members", "3", "--publishers", "3", "--payload", "5000"},
	} {
		r := runBench(t, node, append(args, "--warm-up", "50ms", "--duration", "500ms")...)
		if r.Servers[0].Runs[0].Delivered == 0 { // a slow machine may deliver none in such a short time
			r = runBench(t, node, append(args, "--warm-up", "1s", "--duration", "10s")...)
		}
		if got := r.Servers[0].Runs[0]; got.Delivered == 0 || got.Lost != 0 || got.Repeated != 0 || got.Closed != 0 || got.LatencyMS == nil {
			t.Errorf("%v: %+v", args, *got)
		}
	}
}

// The same load is run with built-in adapters and with one from a file.
func TestBench_ComparesServersByAdapters(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, benchConfig)
	raw := filepath.Join(t.TempDir(), "raw.yaml")
	must(t, os.WriteFile(raw, []byte("path: '/raw/{channel}'\npublish_path: '/raw/{channel}'\npublish: '{data}'\n"), 0o600))
	base := strings.TrimSuffix(benchURL(node), "/ws")
	pid := strconv.Itoa(node.command.Process.Pid)
	for _, args := range [][]string{
		{"rooms", "--rooms", "4", "--members", "3", "--rate", "100", "--warm-up", "50ms", "--duration", "1s"},
		{"connect", "--sessions", "20"},
	} {
		said := benchReport(t, append([]string{"compare", args[0], "--runs", "2",
			"--server", "tidegate=" + base + "," + pid, "--server", "centrifuge=" + base, "--server", raw + "=" + base}, args[1:]...)...)
		if len(said.Servers) != 3 {
			t.Fatalf("%d servers", len(said.Servers))
		}
		for _, server := range said.Servers {
			if len(server.Runs) != 2 {
				t.Errorf("%s: %d runs, want 2", server.Name, len(server.Runs))
			}
			for _, r := range server.Runs {
				if args[0] == "rooms" && (r.Delivered == 0 || r.Lost != 0 || r.Repeated != 0) || r.Closed != 0 || r.LatencyMS == nil {
					t.Errorf("%s: %+v", server.Name, *r)
				}
			}
		}
	}
}

func TestBench_PublishCountsConfirmations(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, benchConfig)
	for _, rate := range []string{"0", "100"} {
		r := runBench(t, node, "publish", "--publishers", "5", "--rate", rate, "--warm-up", "50ms", "--duration", "500ms")
		if r.Servers[0].Runs[0].Published == 0 || r.Servers[0].Runs[0].LatencyMS == nil {
			t.Errorf("rate %s: %+v", rate, *r.Servers[0].Runs[0])
		}
	}
}

func TestBench_SessionsConnectByTokensOfTheirOwn(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "jwt.secret")
	must(t, os.WriteFile(secretFile, []byte(strings.Repeat("s", 32)), 0o600))
	node := startBenchNode(t, `channels: [{match: "bench:*", subscribe: token}]
limits: {commands_per_second: 0, bytes_per_second: 0, sessions_per_user: 1}
auth: {jwt: {secret_file: `+secretFile+`}}
`)
	pid := strconv.Itoa(node.command.Process.Pid)
	r := runBench(t, node, "connect", "--sessions", "40", "--channels", "3", "--secret-file", secretFile, "--pid", pid)
	if r.Servers[0].Runs[0].Units != 40 || r.Servers[0].Runs[0].LatencyMS == nil {
		t.Errorf("connect: %+v", *r.Servers[0].Runs[0])
	}
	r = runBench(t, node, "idle", "--sessions", "40", "--duration", "100ms", "--secret-file", secretFile, "--pid", pid)
	if r.Servers[0].Runs[0].Sessions != 40 || r.Servers[0].Runs[0].Closed != 0 || r.Servers[0].Runs[0].Memory == 0 {
		t.Errorf("idle: %+v", *r.Servers[0].Runs[0])
	}
}

func TestBench_SessionsComeBackToWhatTheyMissed(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, strings.Replace(benchConfig, "}]", ", history: {size: 5, ttl: 5m}}]", 1))
	for _, channels := range []string{"0", "2"} {
		r := runBench(t, node, "connect", "--sessions", "20", "--channels", channels, "--resume", "5")
		if r.Servers[0].Runs[0].Units != 20 {
			t.Errorf("%s channels each: %+v", channels, *r.Servers[0].Runs[0])
		}
	}
	p := start(t, nil, "bench", "connect", "--url", benchURL(node), "--sessions", "2", "--resume", "6")
	if code := p.wait(); code != 1 || !strings.Contains(p.said(), "no longer has all missed messages") {
		t.Errorf("more than the history holds: exit code %d:\n%s", code, p.said())
	}
}

func TestBench_ARefusalNamesTheSetting(t *testing.T) {
	t.Parallel()
	strict := startBenchNode(t, "channels: [{match: 'bench:*', subscribe: anyone, publish: anyone}]\nlimits: {commands_per_second: 5, sessions: 3}\n")
	closed := startBenchNode(t, "channels: [{match: 'chat:*', subscribe: anyone}]")
	for _, c := range []struct {
		node *process
		want string
		args []string
	}{
		{strict, "limits.commands_per_second: 0", []string{"fan-out", "--subscribers", "1"}},
		{strict, "limits.sessions", []string{"fan-out", "--subscribers", "20"}},
		{closed, "rule for channels that begin with bench:", []string{"fan-out", "--subscribers", "1"}},
		{strict, "compression.enabled", []string{"fan-out", "--subscribers", "1", "--compress"}},
		{closed, "--pid or --metrics", []string{"idle", "--sessions", "1"}},
		{closed, "the server refuses", []string{"compare", "fan-out", "--subscribers", "1", "--server", "centrifuge=" + strings.TrimSuffix(benchURL(closed), "/ws")}},
		{closed, "want one of centrifuge, nats, nchan, tidegate, or a file", []string{"compare", "fan-out", "--server", "natz=ws://127.0.0.1"}},
		{strict, "keeps no history", []string{"connect", "--sessions", "1", "--resume", "1"}},
		{closed, "file descriptors", []string{"rooms", "--rooms", "19999", "--members", "1", "--publishers", "1"}},
	} {
		args := append([]string{"bench"}, c.args...)
		if c.args[0] != "compare" {
			args = append(args, "--url", benchURL(c.node))
		}
		p := start(t, nil, args...)
		if code := p.wait(); code != 1 || !strings.Contains(p.said(), c.want) {
			t.Errorf("%v: exit code %d, want 1 and %q:\n%s", c.args, code, c.want, p.said())
		}
	}
}

func TestBench_AnotherMachineTakesAYes(t *testing.T) {
	t.Parallel()
	const far = "ws://192.0.2.1:8080"
	for _, p := range []*process{
		start(t, nil, "bench", "fan-out", "--url", far),
		start(t, []string{"TIDEGATE_URL=" + far}, "bench", "fan-out"),
	} {
		if code := p.wait(); code != 1 || !strings.Contains(p.said(), "192.0.2.1:8080 is not on this machine") || !strings.Contains(p.said(), "--yes") {
			t.Errorf("exit code %d:\n%s", code, p.said())
		}
	}
}
