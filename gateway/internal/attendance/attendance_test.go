package attendance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/wall"
)

// house is a set of nodes that share a broker in memory, in a synctest bubble.
type house struct {
	t      *testing.T
	broker *broker.Memory

	mu    sync.Mutex
	nodes map[string]*attendance.Attendance // guarded by mu
	stops map[string]func()                 // guarded by mu
}

// node returns a running node, or nil.
func (h *house) node(name string) *attendance.Attendance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nodes[name]
}

// running returns the running nodes.
func (h *house) running() map[string]*attendance.Attendance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.nodes)
}

// stop ends a node.
func (h *house) stop(name string) {
	h.mu.Lock()
	stop := h.stops[name]
	h.mu.Unlock()
	stop()
}

func startHouse(t *testing.T) *house {
	h := &house{t: t, broker: broker.NewMemory(), nodes: make(map[string]*attendance.Attendance), stops: make(map[string]func())}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.broker.Run(ctx, h) })
	t.Cleanup(func() {
		h.mu.Lock()
		stops := maps.Clone(h.stops)
		h.mu.Unlock()
		for _, stop := range stops {
			stop()
		}
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return h
}

func (h *house) Receive(m broker.Message) {
	name, _ := broker.CutPresenceChannel(m.Channel)
	for _, a := range h.running() {
		a.Receive(name, &m)
	}
}

func (h *house) Gap([]string, error) {}
func (h *house) Link(error)          {}
func (h *house) Rest()               {}

// run runs a node until stop is called, or the test ends.
func (h *house) run(name string, c attendance.Config) *attendance.Attendance {
	if c.Presence == nil {
		c.Presence = h.broker
	}
	c.Broker, c.Node, c.Run = h.broker, name, name+" run"
	c.Lease, c.Linger = 30*time.Second, 5*time.Second
	c.Alone = func() bool { return len(h.running()) == 1 }
	c.Rouse = func(_ context.Context, node, line string) error {
		other := h.node(node)
		if other == nil {
			return errors.New("no such node")
		}
		other.RouseTeller(line)
		return nil
	}
	if c.LastWord == nil {
		c.LastWord = func() time.Time { return time.Now().Add(time.Minute) }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dropped == nil {
		c.Dropped = func(int) {}
	}
	c.Wall = &wall.Wall{Log: slog.New(slog.DiscardHandler)}
	a := attendance.New(c)
	h.mu.Lock()
	h.nodes[name] = a
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	h.mu.Lock()
	h.stops[name] = sync.OnceFunc(func() {
		cancel()
		<-ended
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.nodes, name)
	})
	h.mu.Unlock()
	synctest.Wait()
	return a
}

// backend records the notices that it is given.
type backend struct {
	mu      sync.Mutex
	batches [][]broker.Notice
	fails   error
	stuck   bool // answer only when the context ends
}

// all returns the line of a backend that wants all notices.
func all(deliver func(context.Context, []broker.Notice) error) []attendance.Line {
	return []attendance.Line{{Wants: broker.Wants{Channels: true, Members: true, Sessions: true}, Deliver: deliver}}
}

func (b *backend) deliver(ctx context.Context, list []broker.Notice) error {
	b.mu.Lock()
	b.batches = append(b.batches, list)
	stuck, fails := b.stuck, b.fails
	b.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return fails
}

// all returns the batches delivered so far.
func (b *backend) all() [][]broker.Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.batches)
}

// told returns the notices of all batches from index from on.
func (b *backend) told(from int) (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, batch := range b.batches[from:] {
		for _, n := range batch {
			list = append(list, strings.TrimSpace(n.Event+" "+n.Channel+" "+n.User))
		}
	}
	return list
}

func (b *backend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = err
}

func alice() attendance.Who { return attendance.Who{User: "alice"} }

func TestTeller_TellsInBatchesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b := startHouse(t), &backend{}
		a := h.run("a", attendance.Config{Lines: all(b.deliver)})
		for i := range 1200 {
			a.Came("room", attendance.Who{User: fmt.Sprintf("user%04d", i)})
		}
		time.Sleep(5 * time.Second)
		told := b.told(0)
		if len(told) != 1201 || told[0] != "occupied room" || !slices.IsSorted(told[1:]) {
			t.Errorf("told %d, beginning with %q", len(told), told[:min(3, len(told))])
		}
		for _, batch := range b.all() {
			if len(batch) > 500 {
				t.Errorf("a batch of %d", len(batch))
			}
		}
	})
}

func TestTeller_TellsAgainUntilTheBackendHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b := startHouse(t), &backend{fails: errors.New("away")}
		a := h.run("a", attendance.Config{Lines: all(b.deliver)})
		a.Came("room", alice())
		time.Sleep(time.Minute)
		attempts := len(b.all())
		if attempts < 10 {
			t.Errorf("%d attempts in a minute", attempts)
		}
		b.fail(nil)
		time.Sleep(time.Minute)
		if got := b.told(attempts); !slices.Equal(got, []string{"occupied room", "joined room alice"}) {
			t.Errorf("told %q when the backend was back", got)
		}
		for _, batch := range b.all()[1:] {
			if batch[0].ID != b.all()[0][0].ID {
				t.Errorf("the same notice is called %s and %s", b.all()[0][0].ID, batch[0].ID)
			}
		}
	})
}

func TestTeller_OneNodeTellsAndAnotherGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, first, second := startHouse(t), &backend{stuck: true}, &backend{}
		a := h.run("a", attendance.Config{Lines: all(first.deliver)})
		b := h.run("b", attendance.Config{Lines: all(second.deliver)})
		b.Came("room", alice())
		time.Sleep(time.Second)
		if got := first.told(0); !slices.Equal(got, []string{"occupied room", "joined room alice"}) || len(second.told(0)) > 0 {
			t.Errorf("the one who delivers was given %q, the other %q", got, second.told(0))
		}
		h.stop("a") // the backend does not answer
		_ = a
		time.Sleep(10 * time.Second)
		if got := second.told(0); !slices.Equal(got, first.told(0)[:2]) {
			t.Errorf("the other was given %q", got)
		}
	})
}

func TestRun_ReturnsByItsLastWordWhateverTheBackendDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		h, b := startHouse(t), &backend{stuck: true}
		a := h.run("a", attendance.Config{Lines: all(b.deliver), LastWord: func() time.Time { return last }})
		a.Came("room", alice())
		time.Sleep(time.Second)
		a.Went("room", alice())
		const rest = 300 * time.Millisecond
		began := time.Now()
		last = began.Add(rest)
		h.stop("a")
		if took := time.Since(began); took > rest {
			t.Errorf("it ended after %v, its last word is due after %v", took, rest)
		}
	})
}

func TestTeller_LastNoticesAreToldBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b := startHouse(t), &backend{}
		a := h.run("a", attendance.Config{Lines: all(b.deliver)})
		for i := range 700 {
			a.Came(broker.SessionsChannel("a run"), attendance.Who{Session: fmt.Sprint(i)})
		}
		a.Came("room", alice())
		time.Sleep(time.Second)
		for i := range 700 {
			a.Went(broker.SessionsChannel("a run"), attendance.Who{Session: fmt.Sprint(i), Info: json.RawMessage(`"bye"`)})
		}
		a.Went("room", alice())
		h.stop("a")
		told := b.told(0)
		if len(told) != 704 || !slices.Contains(told, "vacated room") || !slices.Contains(told, "left room alice") {
			t.Errorf("told %d, at last %q", len(told), told[max(0, len(told)-3):])
		}
	})
}

func TestTeller_PanicOfADeliveryIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, b := startHouse(t), &backend{}
		panics := 1
		a := h.run("a", attendance.Config{Lines: all(func(ctx context.Context, list []broker.Notice) error {
			if panics--; panics >= 0 {
				panic("boom")
			}
			return b.deliver(ctx, list)
		})})
		a.Came("room", alice())
		time.Sleep(5 * time.Second)
		if got := b.told(0); len(got) != 2 {
			t.Errorf("told %q", got)
		}
	})
}

func (h *house) members(a *attendance.Attendance, channel string) string {
	h.t.Helper()
	roster, err := a.Members(h.t.Context(), channel)
	if err != nil {
		h.t.Error(err)
	}
	var list []string
	for _, m := range roster.Members {
		list = append(list, fmt.Sprintf("%s%s*%d", m.User, m.Session, m.Sessions))
	}
	return fmt.Sprint(roster.Sessions, ": ", strings.Join(list, " "))
}

func TestMembers_AreAccountedForAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHouse(t)
		a, b := h.run("a", attendance.Config{}), h.run("b", attendance.Config{})
		a.Came("room", alice())
		a.Came("room", attendance.Who{})
		b.Came("room", alice())
		b.Came("room", attendance.Who{User: "bob", Session: "s1"})
		h.members(b, "room")
		if got := h.members(a, "room"); got != "4: alice*2 bobs1*1" {
			t.Errorf("there are %s", got)
		}
		seen, err := h.broker.Look(t.Context(), []string{"room", "empty"})
		if err != nil || seen["room"].Offset != 2 || !seen["empty"].IsZero() || len(seen) != 2 {
			t.Errorf("counted %+v, %v", seen, err)
		}
		b.Became("room", attendance.Who{User: "bob", Session: "s1"}, attendance.Who{})
		a.Became("room", attendance.Who{}, attendance.Who{User: "carol"})
		h.members(b, "room")
		if got := h.members(a, "room"); got != "4: alice*2 bobs1*0 carol*1" {
			t.Errorf("there are %s", got)
		}
	})
}

// The Info of a member is the one that was given last.
func TestMembers_InfoIsOfWhoCameLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHouse(t)
		a := h.run("a", attendance.Config{})
		a.Came("room", attendance.Who{User: "alice", Info: json.RawMessage(`1`)})
		a.Came("room", attendance.Who{User: "alice", Info: json.RawMessage(`2`)})
		a.Became("room", attendance.Who{User: "alice", Info: json.RawMessage(`1`)}, attendance.Who{User: "alice", Info: json.RawMessage(`3`)})
		roster, err := a.Members(t.Context(), "room")
		if err != nil || len(roster.Members) != 1 || string(roster.Members[0].Info) != "3" || roster.Members[0].Sessions != 2 {
			t.Errorf("%+v, %v", roster, err)
		}
	})
}

// audience records what it is told about one channel.
type audience struct {
	mu   sync.Mutex
	told []string
}

func (u *audience) tell(c attendance.Change) {
	u.told = append(u.told, strings.TrimSpace(fmt.Sprintf("%s %s", [...]string{"join", "leave", "many"}[c.Kind], c.Who.User)))
}

func (u *audience) heard() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.told)
}

func TestFollow_TellsOfManyOnceInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, u := startHouse(t), &audience{}
		a := h.run("a", attendance.Config{Changes: 10})
		a.Came("room", attendance.Who{User: "first"})
		h.members(a, "room")
		if err := a.Follow(t.Context(), "room", &u.mu, u.tell); err != nil {
			t.Fatal(err)
		}
		for i := range 600 {
			a.Came("room", attendance.Who{User: fmt.Sprint("user", i)})
		}
		h.members(a, "room")
		joins, many := 0, 0
		for _, line := range u.heard() {
			if line == "many" {
				many++
			} else {
				joins++
			}
		}
		if joins != 10 || many != 1 {
			t.Errorf("a storm was told by %d joins and %d times that there are many", joins, many)
		}
		time.Sleep(5 * time.Second)
		if heard := u.heard(); heard[len(heard)-1] != "many" || len(heard) != 12 {
			t.Errorf("%d were told, at last %q, want one more when it was over", len(heard), heard[len(heard)-1])
		}
		a.Came("room", attendance.Who{User: "late"})
		time.Sleep(time.Second)
		if heard := u.heard(); heard[len(heard)-1] != "join late" {
			t.Errorf("at last %q was told", heard[len(heard)-1])
		}
		u.mu.Lock()
		roll := a.Here("room")
		roll.End()
		u.mu.Unlock()
		if len(roll.Members) != 602 {
			t.Errorf("%d are here, want all", len(roll.Members))
		}
	})
}
