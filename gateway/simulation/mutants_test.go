package simulation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutant is a bug to plant: in a file of the repository, the text old, which occurs once, is
// replaced by new.
type mutant struct{ name, file, old, new string }

var mutants = []mutant{
	{"a lost link tells nobody", "broker/redis_partition.go", "if len(missed) > 0 {", "if false {"},
	{"what was subscribed before a link was lost does not count as missed", "broker/redis_partition.go", "s.missed = true", "s.missed = false"},
	{"what was subscribed is not subscribed on a new connection", "broker/redis_partition.go", "s.sent = false", "_ = s"},
	{"who comes back within the linger is unsubscribed all the same", "broker/redis_subscribe.go", "	s.leaves = 0\n}", "}"},
	{"a subscriber stays with a master that turned into a replica", "broker/redis_connection.go", "case isReplica(said.field(\"role\")):", "case false:"},
	{"the gateway is not told that Redis is away", "broker/redis_board.go", "		b.receiver.Link(err)\n", ""},
	{"what was not sent is confirmed", "broker/redis_exchange.go", "p.done(p.result(err))", "p.done(p.result(nil))"},
	{"what a replica took is confirmed", "broker/redis_exchange.go", "if s.check == nil || s.check.Err() == nil {", "if true {"},
	{"a process with another run_id is taken for the same", "broker/script.go", "  if run ~= knownRun then return false end\n", ""},
	{"a node that has doubts ends no era", "broker/redis_trust.go", "t.doubted = t.sure", "t.doubted = time.Time{}"},
	{"another process ends no epoch", "broker/script.go", "if not stays and not given or DOUBT and (age > DOUBT or age < 0) then", "if false then"},
	{"a new era gives a channel no new epoch", "broker/script.go", "if known[5] ~= era.id then", "if false then"},
	{"a key is not looked for", "broker/script.go", "  if first then\n", "  if false then\n"},
	{"a key is forgotten after 100 ms", "broker/script.go", "'PX', 300000)", "'PX', 100)"},
	{"an offset of the former epoch is not cut to where that ended", "broker/script.go", "math.min(after, tonumber(last)) or 0", "after + 1 or 0"},
	{"a node that missed something on a channel without history does not say so", "gateway/internal/hub/repair.go", "if ch.past == nil || ch.Missed() || !ch.keepsHistory() {", "if false {"},
	{"a repair gives again what the audience has", "gateway/internal/hub/repair.go", "ch.Follow(e, time.Now()) {", "ch.Follow(e, time.Now()) || true {"},
	{"a loss that a repair finds is not told", "gateway/internal/hub/repair.go", "		r.counted = true\n		r.ch.announceGap()\n", "		r.counted = true\n"},
	{"a gap does not begin a repair", "gateway/internal/hub/receive.go", "	case timeline.Gap:\n		ch.runRepair()", "	case timeline.Gap:"},
	{"who resumes is not given the first of what it missed", "gateway/internal/hub/resume.go", "	for _, e := range step.Entries {\n", "	for i, e := range step.Entries {\n		if i == 0 && len(step.Entries) > 1 {\n			c.from.Take(e)\n			continue\n		}\n"},
	{"who cannot be brought the rest stays connected", "gateway/internal/hub/resume.go", "		c.Sub.by.Dismiss(Dismissal{Why: ErrMissed})\n", ""},
	{"who cannot be told a message stays connected", "gateway/internal/hub/deliver.go", "			ch.dismiss(a, Dismissal{Why: err})\n", ""},
	{"the last to leave ends the channel for who came meanwhile", "gateway/internal/hub/holding.go", "	if shard.holds(ch) > 0 {\n		return\n	}\n", ""},
	{"a full outbox drops its messages", "gateway/internal/hub/deliver.go", "	case outbox.Full:\n		m.of.by.Dismiss(Dismissal{Why: ErrSlow})\n", "	case outbox.Full:\n"},
	{"a member that is moved in its audience does not know where it is", "gateway/internal/hub/channel.go", "	a.members[sub.index].of.index = sub.index\n", ""},
	{"a message after a hole is taken for the next", "gateway/internal/timeline/timeline.go", "case t.at.IsZero() || t.precedes(at):", "case t.at.IsZero() || t.precedes(at) || at.Epoch == t.at.Epoch && at.Offset > t.at.Offset:"},
	{"the end of an epoch is no loss", "gateway/internal/timeline/repair.go", "lost = first > 1 || !t.at.Agrees(page.Former)", "lost = false"},
	{"the tail of the former epoch is kept", "gateway/internal/timeline/repair.go", "func (t *Timeline) jump(to broker.Position, page broker.Page) {\n	t.tail.clear(t.store)\n", "func (t *Timeline) jump(to broker.Position, page broker.Page) {\n"},
	{"who resumes from an epoch that is over is told that it recovered", "gateway/internal/timeline/reader.go", "t.afterLoss(r.cursor), true", "t.afterLoss(r.cursor), false"},
	{"who resumes from an epoch that is over begins at its end", "gateway/internal/timeline/reader.go", "begin.Offset = min(cursor.Offset, t.former.Offset, t.at.Offset)", "begin.Offset = t.at.Offset"},
	{"a hole in what was read for who resumes is not told", "gateway/internal/timeline/reader.go", "hole := step.After.Offset > r.cursor.Offset && !r.lenient", "hole := false"},
	{"who subscribes again is taken off its channel before the reply", "gateway/internal/hub/join.go", "		j.from = ch.Resume(j.Cursor)\n	}\n", "		j.from = ch.Resume(j.Cursor)\n	}\n	ch.remove(j.Sub)\n"},
	{"a subscribe that fails ends the subscription before it", "gateway/places.go", "	if sub.entered || sub.pending > 0 {", "	if sub.pending > 0 {"},
	{"a grant that is left to a subscribe fails with it", "gateway/places.go", "	if sub.owed {\n", "	if false {\n"},
	{"who cannot be put on a channel that it was granted stays connected", "gateway/joining.go", "	if r.Err != nil && !errors", "	if false && !errors"},
	{"a grant that fails counts for the next one", "gateway/places.go", "sub == nil || !sub.entered && sub.asked == 0 {\n		return false\n	}\n	sub.granted, sub.owed = true, !sub.entered\n", "sub == nil {\n		return false\n	}\n	sub.granted, sub.owed = true, !sub.entered && sub.asked > 0\n"},
	{"a grant is answered though the client has subscribed", "gateway/places.go", "	if yields && (sub.entered || sub.asked > 0) {", "	if false {"},
	{"a resumption goes on after a later one was answered", "gateway/internal/hub/resume.go", "		case c.replied && ch.newcomers[c.Sub] != c:", "		case false:"},
	{"a resumption whose read has failed ends a later one", "gateway/rests.go", "r.of == was.of && int32(r.number-was.number) >= 0", "r.of == was.of"},
	{"a resumption goes on after its subscription has ended", "gateway/internal/hub/resume.go", "		case c.Sub.gone:\n", "		case false:\n"},
	{"other commands wait for what a client has missed", "gateway/internal/hub/resume.go", "	case c.replied && !c.later:\n", "	case false:\n"},
	{"a subscription outlives its token", "gateway/places.go", "		sub.end, p.ends = end.UnixMilli(), true\n", ""},
	{"a subscription that is renewed ends as it would have before", "gateway/places.go", "	p.setEnd(sub, on.Until)\n", ""},
	{"two subscribes to a channel begin at once", "gateway/subscribe.go", "		if joins.are(c.Channel) {\n", "		if false {\n"},
	{"a statement of presence that failed is not repeated", "gateway/internal/attendance/state.go", "			s.refused(st, err != nil)\n			a.queue(s)\n", "			s.taken(st)\n"},
	{"a node that Redis has where it has been stays there", "gateway/internal/attendance/run.go", "	a.leaveOthers(ctx, standing.Forgot)\n", ""},
	{"the members are read again for who joined in an epoch that is over", "gateway/internal/attendance/follow.go", "early := r.early[r.covered:]", "early := r.early"},
	{"that Redis has forgotten what a node has said is not noticed", "broker/presence_script.go", "if me and me.last >= tonumber(ARGV[6]) then return me end", "if me then return me end"},
	{"who died when the clock was ahead is dead when it has come back there", "broker/presence_script.go", "    if n.ends > now + n.lease then", "    if n.ends > now + 9e15 then"},
	{"presence that Redis has forgotten is not stated anew", "gateway/internal/attendance/state.go", "			s.whole = true\n			a.queue(s)\n", ""},
}

const root = "../.."

// patched returns the file's content with the bug.
func (m mutant) patched(t *testing.T) []byte {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		t.Errorf("mutant %q: %s has what is replaced %d times: %q", m.name, m.file, n, m.old)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1)
}

func TestMutants_HaveWhatTheyReplace(t *testing.T) {
	for _, m := range mutants {
		m.patched(t)
	}
}

// TestMutants_AreFound plants one mutant after the other, runs stories until one breaks the
// law, and prints the table of the README. SIM_MUTANTS is "all" or a regular expression for
// the names of the mutants. If it is empty, the test does nothing.
func TestMutants_AreFound(t *testing.T) {
	wanted := os.Getenv("SIM_MUTANTS")
	if wanted == "" {
		return
	}
	name, err := regexp.Compile(wanted)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, m := range mutants {
		if wanted != "all" && !name.MatchString(m.name) {
			continue
		}
		stories, how := m.hunt(t)
		if stories == 0 {
			t.Errorf("not found in %d stories: %s", *mostStories, m.name)
		}
		fmt.Fprintf(&table, "| %s | `%s` | %d | %s |\n", m.name, m.file, stories, how)
		t.Logf("%s: %d: %s", m.name, stories, how)
	}
	t.Logf("\n| mutant | file | found by story | first |\n|---|---|---|---|\n%s", &table)
}

// mostStories is the maximum number of stories per mutant.
var mostStories = flag.Int("sim.stories", 40, "in how many stories a mutant is to be found")

// hunt returns the number of the story that finds the mutant and the first violation in it. It
// returns 0 if no story finds the mutant.
func (m mutant) hunt(t *testing.T) (story int, how string) {
	dir := t.TempDir()
	patched, overlay, binary := filepath.Join(dir, "patched.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "simulation.test")
	original, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: patched}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, patched, m.patched(t))
	write(t, overlay, replace)
	if out, err := exec.Command("go", "test", "-overlay", overlay, "-c", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", m.name, err, out)
	}
	for seed := int(*fromFlag); seed < int(*fromFlag)+*mostStories; seed++ {
		ctx, cancel := context.WithTimeout(context.Background(), tellsWithin)
		out, err := exec.CommandContext(ctx, binary, "-test.run=^TestSimulation$", "-sim.shrink=0", fmt.Sprintf("-sim.seed=%d", seed)).CombinedOutput()
		hangs := ctx.Err() != nil
		cancel()
		switch {
		case hangs:
			return seed, "hangs"
		case err != nil:
			return seed, firstWrong(string(out))
		}
	}
	return 0, ""
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// firstWrong returns the first violation in the output of a story that failed.
func firstWrong(out string) string {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		switch {
		case strings.Contains(line, "The story breaks the law") && i+1 < len(lines):
			return strings.TrimSpace(lines[i+1])
		case strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "fatal error:"):
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out)
}
