package simulation_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	exactFlag   = flag.Bool("sim.exact", false, "tell each story so that its seed decides all, the order of goroutines, too (needs node)")
	orderFlag   = flag.Uint64("sim.order", 1, "with -sim.exact: the seed of what the runtime decides")
	accountFlag = flag.Bool("sim.account", false, "have TestAccount print what came of the story of -sim.seed")
)

// exact runs stories in separate processes that have a single thread and get all random
// numbers and times from exact.mjs.
type exact struct {
	program string // path of this test, built for wasip1
	order   uint64
	last    lengths
}

func newExact(t *testing.T, order uint64, last lengths) exact {
	t.Helper()
	e := exact{filepath.Join(t.TempDir(), "simulation.wasm"), order, last}
	build := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", e.program, ".")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	return e
}

// tell is a teller. If the process ends before the story does, the story breaks the law.
func (e exact) tell(t *testing.T, seed uint64, only []int) (a account) {
	t.Helper()
	began := time.Now()
	out, err := e.run(t, seed, only)
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("{")) {
			err = json.Unmarshal(line, &a)
		}
	}
	if exited := new(exec.ExitError); err != nil && !errors.As(err, &exited) {
		t.Errorf("no story was told: %v", err)
	}
	if len(a.Lines) == 0 {
		a.Plan, a.Lines = only, strings.Split(string(out), "\n")
		a.Wrong = []string{fmt.Sprintf("the story has no end: %v", err)}
	}
	t.Logf("told with %d faults in %v, order %d, digest %x", len(a.Plan), time.Since(began).Round(time.Millisecond), e.order, a.digest())
	return a
}

// tellsWithin is how long a process may take: if a goroutine of the story spins, it never ends.
const tellsWithin = 10 * time.Minute

// run returns the output of TestAccount. The output goes to a file, because a WASI program
// does not wait for room in a pipe. The option --liftoff-only turns off optimization, which
// would take longer than a story.
func (e exact) run(t *testing.T, seed uint64, only []int) ([]byte, error) {
	said := filepath.Join(t.TempDir(), "account")
	file, err := os.Create(said)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(t.Context(), tellsWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--no-warnings", "--liftoff-only", "testdata/exact.mjs", fmt.Sprint(e.order), e.program,
		"-test.run=^TestAccount$", "-sim.account", fmt.Sprintf("-sim.seed=%d", seed),
		fmt.Sprintf("-sim.lasts=%v", e.last.faults), fmt.Sprintf("-sim.settles=%v", e.last.settling))
	if only != nil {
		cmd.Args = append(cmd.Args, "-sim.faults="+numbers(only))
	}
	cmd.Stdout, cmd.Stderr = file, file
	failed := cmd.Run()
	out, err := os.ReadFile(said)
	return out, cmp.Or(failed, err)
}

// TestAccount prints the account of a story, for exact.tell.
func TestAccount(t *testing.T) {
	if !*accountFlag {
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(tellHere(t, *seedFlag, wantedFaults(t))); err != nil {
		t.Fatal(err)
	}
}

// TestExact_TwiceTheSame runs the beginning of a story twice, which must give the same output,
// and once in another order, which must give a different one. It needs -sim.exact, because
// the build for wasip1 takes minutes of CPU.
func TestExact_TwiceTheSame(t *testing.T) {
	if !*exactFlag {
		return
	}
	e := newExact(t, 1, lengths{faults: 5 * time.Second, settling: time.Second})
	other := e
	other.order = 2
	accounts := make([]account, 3)
	var telling sync.WaitGroup
	for i, e := range []exact{e, e, other} {
		telling.Go(func() { accounts[i] = e.tell(t, 7, nil) })
	}
	telling.Wait()
	if !slices.Equal(accounts[0].Lines, accounts[1].Lines) {
		t.Errorf("told twice, the story differs:\n%s\n\n%s", accounts[0].story(), accounts[1].story())
	}
	if slices.Equal(accounts[0].Lines, accounts[2].Lines) {
		t.Error("in another order the story is the same")
	}
}
