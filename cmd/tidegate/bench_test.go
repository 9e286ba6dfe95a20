package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const benchConfig = `channels: [{match: "bench:*", subscribe: anyone, publish: anyone}]
limits: {commands_per_second: 0}
`

// bench runs a benchmark as a process and returns its report.
func bench(t *testing.T, node *process, args ...string) (report benchReport) {
	t.Helper()
	p := start(t, nil, append([]string{"bench", args[0], "--json", "--url", benchURL(node)}, args[1:]...)...)
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
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return startReady(t, nil, append([]string{"--config", file}, args...)...)
}

func TestBench_EveryListenerGetsEverything(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, benchConfig, "--compression-enabled", "--compression-min-bytes=1000")
	pid := strconv.Itoa(node.command.Process.Pid)
	for _, args := range [][]string{
		{"fan-out", "--subscribers", "50", "--payload", "1024", "--compress", "--floor"},
		{"fan-out", "--subscribers", "50", "--floor", "--pid", pid},
		{"fan-out", "--subscribers", "50", "--rate", "200", "--metrics", node.internal("/metrics")},
		{"rooms", "--rooms", "20", "--members", "3", "--publishers", "3", "--payload", "5000", "--floor"},
		{"latency", "--subscribers", "20", "--rate", "50", "--pid", pid},
	} {
		r := bench(t, node, append(args, "--warm-up", "50ms", "--duration", "500ms")...)
		for _, side := range []*benchResult{r.Gateway, r.Floor} {
			if side != nil && (side.Delivered == 0 || side.Lost != 0 || side.Repeated != 0 || side.Closed != 0 || side.LatencyMS == nil) {
				t.Errorf("%v: %+v", args, *side)
			}
		}
	}
}

func TestBench_PublishCountsConfirmations(t *testing.T) {
	t.Parallel()
	node := startBenchNode(t, benchConfig)
	for _, rate := range []string{"0", "100"} {
		r := bench(t, node, "publish", "--publishers", "5", "--rate", rate, "--warm-up", "50ms", "--duration", "500ms")
		if r.Gateway.Published == 0 || r.Gateway.LatencyMS == nil {
			t.Errorf("rate %s: %+v", rate, *r.Gateway)
		}
	}
}

func TestBench_SessionsConnectByTokensOfTheirOwn(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "jwt.secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	node := startBenchNode(t, `channels: [{match: "bench:*", subscribe: token}]
limits: {commands_per_second: 0, sessions_per_user: 1}
auth: {jwt: {secret_file: `+secretFile+`}}
`)
	pid := strconv.Itoa(node.command.Process.Pid)
	r := bench(t, node, "connect", "--sessions", "40", "--channels", "3", "--secret-file", secretFile, "--pid", pid)
	if r.Gateway.Units != 40 || r.Gateway.LatencyMS == nil {
		t.Errorf("connect: %+v", *r.Gateway)
	}
	r = bench(t, node, "idle", "--sessions", "40", "--duration", "100ms", "--secret-file", secretFile, "--pid", pid)
	if r.Gateway.Sessions != 40 || r.Gateway.Closed != 0 || r.Gateway.Memory == 0 {
		t.Errorf("idle: %+v", *r.Gateway)
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
		{closed, "file descriptors", []string{"rooms", "--rooms", "19999", "--members", "1", "--publishers", "1"}},
	} {
		p := start(t, nil, append([]string{"bench", c.args[0], "--url", benchURL(c.node)}, c.args[1:]...)...)
		if code := p.wait(); code != 1 || !strings.Contains(p.said(), c.want) {
			t.Errorf("%v: exit code %d, want 1 and %q:\n%s", c.args, code, c.want, p.said())
		}
	}
}

func TestBench_AnotherMachineTakesAYes(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "bench", "fan-out", "--url", "ws://192.0.2.1:8080")
	if code := p.wait(); code != 1 || !strings.Contains(p.said(), "--yes") {
		t.Errorf("exit code %d:\n%s", code, p.said())
	}
}

func TestBench_TheSenseOfItsFlags(t *testing.T) {
	for _, b := range []benchmark{
		&benchLoad{channels: 1, members: 30_000, publishers: 1, inFlight: 1, payload: 128, duration: time.Second},
		&benchLoad{channels: 1, members: 1, publishers: 1, inFlight: 0, payload: 128, duration: time.Second},
		&benchLoad{channels: 1, members: 1, publishers: 1, inFlight: 1, payload: leastBenchPayload - 1, duration: time.Second},
		&benchLoad{channels: 1, members: 1, publishers: 1, rate: -1, payload: 128, duration: time.Second},
		&benchLoad{channels: 1, members: 1, publishers: 1, inFlight: 1, payload: 128, duration: time.Hour},
		&benchIdle{benchSessions: benchSessions{count: 0, atOnce: 1}, duration: time.Second},
		&benchPublishers{publishers: 1, channels: 0, inFlight: 1, payload: 128, duration: time.Second},
	} {
		if b.check() == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}

func TestBenchListener_CountsWhatIsMissingAndWhatIsRepeated(t *testing.T) {
	run := &loadRun{window: newBenchWindow(1, 2), latency: newBenchLatency()}
	l := &benchListener{run: run}
	hear := func(number uint64) {
		text := publishText("bench:x:0", 128)
		publication{number: number, slot: noSlot, due: 5}.put(text[strings.Index(string(text), publicationMark)+len(publicationMark):])
		l.note(text, 12)
	}
	for _, number := range []uint64{1, 2, 5, 5, 4, 6} {
		hear(number)
	}
	l.note([]byte(`{"type":"gap","channel":"bench:x:0"}`), 12)
	if l.received.Load() != 4 || l.missed.Load() != 2 || l.repeated.Load() != 2 {
		t.Errorf("received %d, missed %d, repeated %d; want 4, 2, 2", l.received.Load(), l.missed.Load(), l.repeated.Load())
	}
	if l.arrived[0] != 7 {
		t.Errorf("latency %v, want 7ns", l.arrived[0])
	}
}

func TestBenchWindow_FreesASlotWhenAllHaveIt(t *testing.T) {
	w := newBenchWindow(1, 2)
	slot, _ := w.take(t.Context())
	w.arrived(slot)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := w.take(over); ok {
		t.Error("the slot is free before the second listener has its publication")
	}
	w.arrived(slot)
	if _, ok := w.take(t.Context()); !ok {
		t.Error("the slot is not free")
	}
}

// A publication that is held up must not hide how long the next ones would have
// waited.
func TestKeepPace_CountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Since(benchEpoch)
		enough := errors.New("enough")
		var due, made []time.Duration
		err := keepPace(t.Context(), 100, func(d time.Duration) error {
			due, made = append(due, d-begin), append(made, time.Since(benchEpoch)-begin)
			if len(due) == 1 {
				<-time.After(25 * time.Millisecond)
			}
			if len(due) == 5 {
				return enough
			}
			return nil
		})
		if err != enough {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, 25, 25, 30, 40} {
			if due[i] != time.Duration(i)*10*time.Millisecond || made[i] != want*time.Millisecond {
				t.Errorf("publication %d was due at %v and made at %v, want %v", i, due[i], made[i], want*time.Millisecond)
			}
		}
	})
}

func TestBenchClient_ReadsFramesInAnyPieces(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	wire := append(benchFrame([]byte("one")), 0x80|benchPing, 2, 'h', 'i')
	wire = append(wire, benchFrame([]byte(long[:300]))...)
	wire = append(wire, 0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70)
	wire = append(wire, long...)
	wire = append(wire, 0x80|benchClose, 6, 0x0f, 0xa8, 's', 'l', 'o', 'w')
	for _, piece := range []int{1, 7, len(wire)} {
		near, far := net.Pipe()
		c := &benchClient{conn: near, buffer: make([]byte, 16)}
		go func() {
			for at := 0; at < len(wire); at += piece {
				far.Write(wire[at:min(at+piece, len(wire))])
			}
		}()
		pong := make(chan []byte, 1)
		go func() {
			b := make([]byte, 100)
			n, _ := far.Read(b)
			pong <- b[:n]
		}()
		for _, want := range []string{"one", long[:300], long} {
			if got, err := c.read(); err != nil || string(got) != want {
				t.Fatalf("in pieces of %d: %.20q, %v; want %.20q", piece, got, err, want)
			}
		}
		var closed *benchClosed
		if _, err := c.read(); !errors.As(err, &closed) || closed.code != 4008 || closed.reason != "slow" {
			t.Errorf("%v, want 4008 slow", err)
		}
		if got, want := string(<-pong), "\x8a\x82\x00\x00\x00\x00hi"; got != want {
			t.Errorf("answered %q, want %q", got, want)
		}
		near.Close()
		far.Close()
	}
}

func TestUsageOfProcess_IsThisOnes(t *testing.T) {
	u, err := usageOfProcess(os.Getpid())
	if err != nil || u.memory < 1<<20 || u.memory > 1<<40 {
		t.Errorf("%+v, %v", u, err)
	}
	before := u.cpu
	for n, deadline := 0, time.Now().Add(patience); u.cpu == before; n++ {
		if u, err = usageOfProcess(os.Getpid()); err != nil || time.Now().After(deadline) {
			t.Fatalf("after %d readings the CPU time is still %v, %v", n, u.cpu, err)
		}
	}
}

func TestFigure_SetsThousandsApart(t *testing.T) {
	for _, c := range []struct {
		v      float64
		places int
		want   string
	}{{0, 0, "0"}, {999, 0, "999"}, {1000, 0, "1,000"}, {1234567.891, 2, "1,234,567.89"}} {
		if got := figure(c.v, c.places); got != c.want {
			t.Errorf("figure(%v, %d) is %s, want %s", c.v, c.places, got, c.want)
		}
	}
}
