package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"

	"pgregory.net/rapid"
)

// perishable is a node's connection to Redis that can be cut for good, as by a crash: from
// then on nothing from the node reaches Redis.
type perishable struct {
	*broker.Redis
	dead       atomic.Bool
	roundTrips atomic.Int64
}

func (m *perishable) Attend(ctx context.Context, by broker.Attendant, list []broker.Attendance) ([]bool, error) {
	if m.dead.Load() {
		return nil, broker.ErrUnavailable
	}
	return m.Redis.Attend(ctx, by, list)
}

func (m *perishable) Keep(ctx context.Context, by broker.Attendant, version uint64) (broker.Standing, error) {
	if m.dead.Load() {
		return broker.Standing{}, broker.ErrUnavailable
	}
	return m.Redis.Keep(ctx, by, version)
}

func (m *perishable) Take(ctx context.Context, t broker.Teller) (broker.Line, error) {
	if m.dead.Load() {
		return broker.Line{}, broker.ErrUnavailable
	}
	return m.Redis.Take(ctx, t)
}

func (m *perishable) Publish(message broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	if m.dead.Load() {
		done(broker.Position{}, broker.ErrUnavailable)
		return
	}
	m.Redis.Publish(message, o, done)
}

// presenceNode is a node of a cluster that shares one Redis.
type presenceNode struct {
	*node
	way *perishable
}

// crash ends the node without telling the others.
func (n *presenceNode) crash() {
	n.way.dead.Store(true)
	n.stop()
}

// presenceTimes are the lease of nodes and the linger of users.
type presenceTimes struct{ lease, linger time.Duration }

// lasting is a time that does not end during a test.
const lasting = time.Hour

var presenceRules = rules.List{
	{Match: "room:*", Subscribe: rules.Anyone, Presence: true, JoinLeave: true},
	{Match: "quiet:*", Subscribe: rules.Anyone, Presence: true},
	{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone},
}

func startPresenceNode(t testing.TB, server *brokertest.RedisServer, times presenceTimes) *presenceNode {
	t.Helper()
	return startHookedNode(t, server, times, nil)
}

func startHookedNode(t testing.TB, server *brokertest.RedisServer, times presenceTimes, hooks gateway.Hooks) *presenceNode {
	t.Helper()
	way := &perishable{}
	redis, err := broker.NewRedis(broker.RedisConfig{URL: server.URL(), Observe: broker.RedisObserver{
		RoundTrip: func(time.Duration) { way.roundTrips.Add(1) },
	}})
	must(t, err)
	way.Redis = redis
	return &presenceNode{way: way, node: startNode(t, gateway.Config{
		Broker: way, Presence: way, Rules: presenceRules, Hooks: hooks,
		PresenceLease: times.lease, PresenceLinger: times.linger,
	})}
}

func startPresence(t testing.TB, nodes int, times presenceTimes) ([]*presenceNode, *brokertest.RedisServer) {
	t.Helper()
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	all := make([]*presenceNode, nodes)
	for i := range all {
		all[i] = startPresenceNode(t, server, times)
	}
	return all, server
}

// as connects a user and subscribes him to channels.
func (n *presenceNode) as(user string, channels ...string) *peer {
	n.t.Helper()
	p := n.connect(gateway.Hello{Principal: gateway.Principal{User: user}})
	p.subscribe(channels...)
	return p
}

// hangUp ends a client's connection.
func (p *peer) hangUp() { p.Close(gateway.Left, nil) }

// joinsAndLeaves returns the joins and leaves that a client was told of, without its own:
// "join bob", "leave bob".
func (p *peer) joinsAndLeaves(but string) (list []string) {
	for _, line := range p.lines() {
		kind, text, _ := strings.Cut(line, " ")
		var e struct{ User string }
		if (kind != "gateway.Join" && kind != "gateway.Leave") || json.Unmarshal([]byte(text), &e) != nil || e.User == but {
			continue
		}
		list = append(list, strings.ToLower(strings.TrimPrefix(kind, "gateway."))+" "+e.User)
	}
	return list
}

func (p *peer) expectPresence(but string, want ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", want), func() bool { return len(p.joinsAndLeaves(but)) >= len(want) })
	if got := p.joinsAndLeaves(but); !slices.Equal(got, want) {
		p.t.Errorf("heard %q, want %q", got, want)
	}
}

// present returns the members of a channel: "alice*2 bob*1".
func (n *presenceNode) present(channel string) string {
	n.t.Helper()
	members, err := n.Members(context.Background(), &backend, channel)
	if err != nil {
		return err.Error()
	}
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = fmt.Sprintf("%s*%d", m.User, m.Sessions)
	}
	return strings.Join(list, " ")
}

func (n *presenceNode) awaitPresent(channel, want string) {
	n.t.Helper()
	deadline := time.Now().Add(patience)
	for n.present(channel) != want {
		if time.Now().After(deadline) {
			n.t.Fatalf("present on %s: %q, want %q", channel, n.present(channel), want)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestPresence_OneselfIsThereRightAfterSubscribed(t *testing.T) {
	nodes, _ := startPresence(t, 1, presenceTimes{lasting, lasting})
	p := nodes[0].connect(gateway.Hello{Principal: gateway.Principal{User: "alice", Info: json.RawMessage(`{"a":1}`)}})
	p.send("sub quiet:a")
	p.send("presence quiet:a")
	if got, want := p.expect("gateway.Members"), `{"user":"alice","info":{"a":1},"sessions":1}`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
	p.send("presence plain")
	p.expect("error not_found")
	nodes[0].connect(gateway.Hello{}).send("sub quiet:a") // anonymous: not a member
	nodes[0].awaitPresent("quiet:a", "alice*1")
}

func TestPresence_JoinAndLeaveOnceForTheCluster(t *testing.T) {
	nodes, _ := startPresence(t, 3, presenceTimes{lasting, 50 * time.Millisecond})
	var watchers []*peer
	for _, n := range nodes {
		watchers = append(watchers, n.as("watcher", "room:a"))
	}
	nodes[0].awaitPresent("room:a", "watcher*3")
	var bobs []*peer
	for i := range 6 {
		bobs = append(bobs, nodes[i%3].as("bob", "room:a"))
	}
	nodes[1].awaitPresent("room:a", "bob*6 watcher*3")
	for _, bob := range bobs[1:] {
		bob.hangUp()
	}
	nodes[2].awaitPresent("room:a", "bob*1 watcher*3")
	bobs[0].hangUp()
	nodes[2].awaitPresent("room:a", "watcher*3")
	for _, w := range watchers {
		w.expectPresence("watcher", "join bob", "leave bob")
	}
}

func TestPresence_BackWithinTheLingerOnAnotherNode(t *testing.T) {
	nodes, _ := startPresence(t, 2, presenceTimes{lasting, 4 * time.Second}) // long enough for a slow machine
	watcher := nodes[1].as("watcher", "room:a")
	bob := nodes[0].as("bob", "room:a")
	watcher.expectPresence("watcher", "join bob")
	bob.hangUp()
	nodes[1].awaitPresent("room:a", "bob*0 watcher*1")
	bob = nodes[1].as("bob", "room:a")
	nodes[1].awaitPresent("room:a", "bob*1 watcher*1")
	carol := nodes[0].as("carol", "room:a")
	watcher.expectPresence("watcher", "join bob", "join carol")
	carol.hangUp()
	watcher.expectPresence("watcher", "join bob", "join carol", "leave carol")
	bob.hangUp()
	watcher.expectPresence("watcher", "join bob", "join carol", "leave carol", "leave bob")
}

func TestPresence_StoppedNodeHandsItsLingersOver(t *testing.T) {
	nodes, _ := startPresence(t, 2, presenceTimes{3 * time.Second, 4 * time.Second}) // likewise
	watcher := nodes[1].as("watcher", "room:a")
	nodes[0].as("bob", "room:a")
	nodes[0].as("carol", "room:a")
	watcher.until("two joins", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 2 })
	nodes[0].stop()
	if got := nodes[1].present("room:a"); got != "bob*0 carol*0 watcher*1" {
		t.Errorf("right after the node's end there are %q", got)
	}
	nodes[1].as("bob", "room:a") // is back; carol is not
	watcher.until("a leave", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 3 })
	if got := watcher.joinsAndLeaves("watcher")[2]; got != "leave carol" {
		t.Errorf("heard %q", got)
	}
	nodes[1].awaitPresent("room:a", "bob*1 watcher*1")
}

// While Redis is frozen, no node can renew its lease.
func TestPresence_NobodyLeavesWhileRedisStandsStill(t *testing.T) {
	times := presenceTimes{3 * time.Second, 0}
	nodes, server := startPresence(t, 3, times)
	watcher := nodes[2].as("watcher", "room:a")
	for _, user := range []string{"alice", "bob"} {
		nodes[0].as(user, "room:a")
		watcher.until(user, func() bool { return slices.Contains(watcher.joinsAndLeaves("watcher"), "join "+user) })
	}
	nodes[1].as("carol", "room:a")
	watcher.until("carol", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 3 })
	server.Pause()
	<-time.After(times.lease + times.lease/3)
	server.Resume()
	began := time.Now()
	for time.Since(began) < 2*times.lease {
		if got := nodes[2].present("room:a"); !strings.Contains(got, broker.ErrUnavailable.Error()) && got != "alice*1 bob*1 carol*1 watcher*1" {
			t.Fatalf("%v later present: %s", time.Since(began), got)
		}
		<-time.After(20 * time.Millisecond)
	}
	if got := watcher.joinsAndLeaves("watcher"); len(got) != 3 {
		t.Errorf("heard %q", got)
	}
}

func TestPresence_CrashedNodesMembersAreGoneWithinTheLease(t *testing.T) {
	times := presenceTimes{4 * time.Second, lasting}
	nodes, _ := startPresence(t, 3, times)
	watcher := nodes[2].as("watcher", "room:a")
	nodes[0].as("bob", "room:a")
	nodes[0].as("carol", "room:a")
	nodes[1].as("carol", "room:a")
	watcher.until("two joins", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 2 })
	began := time.Now()
	nodes[0].crash()
	watcher.until("a leave", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 3 })
	if took := time.Since(began); took > times.lease+2*time.Second { // allow for a slow machine
		t.Errorf("the leave came %v after the crash, the lease is %v", took, times.lease)
	}
	nodes[1].awaitPresent("room:a", "carol*1 watcher*1")
	if got := watcher.joinsAndLeaves("watcher")[2]; got != "leave bob" {
		t.Errorf("heard %q", got)
	}
}

func TestPresence_RedisThatForgetsEverythingMakesNobodyLeave(t *testing.T) {
	nodes, server := startPresence(t, 2, presenceTimes{5 * time.Second, 100 * time.Millisecond})
	watcher := nodes[0].as("watcher", "room:a")
	bob := nodes[0].as("bob", "room:a")
	nodes[1].as("carol", "room:a")
	nodes[1].as("carol", "room:a")
	watcher.until("two joins", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 2 })
	server.Stop()
	bob.hangUp() // not seen by Redis
	server.Start()
	for _, n := range nodes {
		n.awaitPresent("room:a", "carol*2 watcher*1")
	}
	watcher.until("bob's leave", func() bool { return len(watcher.joinsAndLeaves("watcher")) >= 3 })
	dave := nodes[1].as("dave", "room:a")
	watcher.until("dave's join", func() bool { return len(watcher.joinsAndLeaves("watcher")) >= 4 })
	dave.hangUp()
	watcher.until("dave's leave", func() bool { return len(watcher.joinsAndLeaves("watcher")) >= 5 })
	if got := watcher.joinsAndLeaves("watcher")[2:]; !slices.Equal(got, []string{"leave bob", "join dave", "leave dave"}) {
		t.Errorf("after the restart heard %q", got)
	}
}

func TestPresence_MissedJoinsAndLeavesAreFoundOut(t *testing.T) {
	nodes, server := startPresence(t, 2, presenceTimes{6 * time.Second, time.Millisecond})
	watcher := nodes[0].as("watcher", "room:a")
	bob := nodes[1].as("bob", "room:a")
	watcher.expectPresence("watcher", "join bob")
	deaf := server.CLI("CLIENT", "KILL", "TYPE", "pubsub") // neither receives anything until they are back
	bob.hangUp()
	if deaf == "0" {
		t.Fatal("no link was cut")
	}
	watcher.expectPresence("watcher", "join bob", "leave bob")
}

func TestPresence_AnonymousBecomesAMemberByAuthenticating(t *testing.T) {
	nodes, _ := startPresence(t, 1, presenceTimes{lasting, lasting})
	memory := broker.NewMemory()
	n := &presenceNode{node: startNode(t, gateway.Config{Broker: memory, Presence: memory, Rules: presenceRules, Auth: names{}})}
	_ = nodes
	p := n.listen("room:a")
	n.awaitPresent("room:a", "")
	p.send("auth alice")
	n.awaitPresent("room:a", "alice*1")
	p.expectPresence("", "join alice")
	p.send("unsub room:a")
	n.awaitPresent("room:a", "alice*0")
}

func TestPresence_RulesMayChange(t *testing.T) {
	memory := broker.NewMemory()
	n := &presenceNode{node: startNode(t, gateway.Config{Broker: memory, Presence: memory, PresenceLinger: time.Millisecond,
		Rules: rules.List{{Match: "*", Subscribe: rules.Anyone}}})}
	alice := n.as("alice", "room:a")
	wantCode(t, func() error { _, err := n.Members(context.Background(), &backend, "room:a"); return err }(), gateway.NotFound)
	must(t, n.SetRules(presenceRules))
	n.awaitPresent("room:a", "alice*1")
	bob := n.as("bob", "room:a")
	alice.until("bob's join", func() bool { return slices.Contains(alice.joinsAndLeaves("alice"), "join bob") })
	bob.hangUp()
	alice.until("bob's leave", func() bool { return slices.Contains(alice.joinsAndLeaves("alice"), "leave bob") })
}

func TestPresence_UnavailableWithoutRedis(t *testing.T) {
	nodes, server := startPresence(t, 1, presenceTimes{lasting, lasting})
	nodes[0].as("alice", "room:a")
	server.Stop()
	_, err := nodes[0].Members(context.Background(), &backend, "room:a")
	wantCode(t, asError(err), gateway.Unavailable)
	_, err = nodes[0].Members(context.Background(), &gateway.Principal{}, "@alice")
	wantCode(t, err, gateway.Unauthenticated)
}

func asError(err error) error {
	if err == nil {
		return nil
	}
	return gateway.ErrorOf(err)
}

// Many sessions that arrive at once share round trips.
func TestPresence_ManySessionsShareRoundTrips(t *testing.T) {
	const sessions = 1000
	nodes, server := startPresence(t, 1, presenceTimes{lasting, lasting})
	nodes[0].as("watcher", "room:a")
	nodes[0].awaitPresent("room:a", "watcher*1")
	server.CLI("CONFIG", "RESETSTAT")
	var wait sync.WaitGroup
	for i := range sessions {
		wait.Go(func() {
			nodes[0].comeAtOnce(gateway.Hello{Principal: gateway.Principal{User: fmt.Sprint("user", i)},
				Commands: []gateway.Command{gateway.Subscribe{Channel: "room:a"}}})
		})
	}
	wait.Wait()
	members, err := nodes[0].Members(context.Background(), &backend, "room:a")
	if err != nil || len(members) != sessions+1 {
		t.Fatalf("%d members, %v", len(members), err)
	}
	scripts := scriptCalls(server)
	t.Logf("%d sessions came with %d scripts", sessions, scripts)
	if scripts > sessions/10 {
		t.Errorf("%d sessions took %d scripts", sessions, scripts)
	}
}

// comeAtOnce retries to connect while Redis is too busy to answer.
func (n *presenceNode) comeAtOnce(hello gateway.Hello) {
	for {
		_, err := n.tryConnect(hello)
		if err == nil {
			return
		}
		if gateway.ErrorOf(err).Code != gateway.Unavailable {
			n.t.Error(err)
			return
		}
		brokertest.Eventually(n.t, "Redis to answer", func() bool { return n.Ready() == nil })
	}
}

func scriptCalls(server *brokertest.RedisServer) (calls int) {
	for line := range strings.Lines(server.CLI("INFO", "commandstats")) {
		rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls=")
		if ok {
			fmt.Sscanf(rest, "%d", &calls)
		}
	}
	return calls
}

// TestPresence_EveryLogTakesTurns runs random stories of users who join and leave on three
// nodes that may crash. For each user, every client must receive joins and leaves in turn, and
// at the end the members must be those who are connected.
func TestPresence_EveryLogTakesTurns(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	const stories = 25 // each takes a second of real time
	room := 0
	rapid.Check(t, func(rt *rapid.T) {
		if room++; room > stories {
			return
		}
		channel := fmt.Sprint("room:", room)
		story := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom([]string{"come", "come", "come", "go", "go", "crash"}).Draw(rt, "what"), rapid.IntRange(0, 11).Draw(rt, "who")}
		}), 1, 25).Draw(rt, "story")
		t.Run(channel, func(t *testing.T) { tellPresence(t, server, channel, story) })
		if t.Failed() {
			rt.Fatalf("after %v", story)
		}
	})
}

func tellPresence(t *testing.T, server *brokertest.RedisServer, channel string, story []step) {
	times := presenceTimes{600 * time.Millisecond, 30 * time.Millisecond}
	nodes := make([]*presenceNode, 3)
	watch := startPresenceNode(t, server, times)
	watcher := watch.as("watcher", channel)
	connected := make([]map[string][]*peer, len(nodes))
	for _, s := range story {
		i, user := s.who%3, fmt.Sprint("user", s.who/3)
		if nodes[i] == nil {
			nodes[i], connected[i] = startPresenceNode(t, server, times), make(map[string][]*peer)
		}
		switch has := connected[i][user]; {
		case s.what == "come":
			connected[i][user] = append(has, nodes[i].as(user, channel))
		case s.what == "go" && len(has) > 0:
			has[0].hangUp()
			connected[i][user] = has[1:]
		case s.what == "crash":
			nodes[i].crash()
			nodes[i] = nil
		}
	}
	sessions := map[string]int{"watcher": 1}
	for i, n := range nodes {
		for user, has := range connected[i] {
			if n != nil && len(has) > 0 {
				sessions[user] += len(has)
			}
		}
	}
	var want []string
	for user, n := range sessions {
		want = append(want, fmt.Sprintf("%s*%d", user, n))
	}
	slices.Sort(want)
	watch.awaitPresent(channel, strings.Join(want, " "))
	watcher.until("the last join or leave", func() bool {
		there := make(map[string]bool)
		for _, line := range watcher.joinsAndLeaves("watcher") {
			event, user, _ := strings.Cut(line, " ")
			if there[user] == (event == "join") {
				t.Fatalf("%s again: %q", line, watcher.joinsAndLeaves("watcher"))
			}
			there[user] = event == "join"
		}
		for user, is := range there {
			if is != (sessions[user] > 0) {
				return false
			}
		}
		return true
	})
}

// A client that subscribes with the list of members is told of the others from then on, and
// not of itself if its protocol says so.
func TestPresence_MembersAtTheMomentOfJoining(t *testing.T) {
	nodes, _ := startPresence(t, 2, presenceTimes{lasting, time.Millisecond})
	bob := nodes[0].as("bob", "room:a")
	nodes[1].awaitPresent("room:a", "bob*1")
	carol := nodes[1].connect(gateway.Hello{Protocol: words{"discreet"}, Principal: gateway.Principal{User: "carol"}})
	carol.send("submembers room:a")
	if got := carol.expect("subscribed room:a"); got != "subscribed room:a [bob carol]" {
		t.Errorf("told %q", got)
	}
	bob.until("carol's join", func() bool { return slices.Contains(bob.joinsAndLeaves(""), "join carol") })
	dave := nodes[0].as("dave", "room:a")
	carol.until("dave's join", func() bool { return slices.Contains(carol.joinsAndLeaves(""), "join dave") })
	dave.hangUp()
	carol.expectPresence("", "join dave", "leave dave")
}

func TestPresence_BySessionEachIsAMember(t *testing.T) {
	memory := broker.NewMemory()
	n := &presenceNode{node: startNode(t, gateway.Config{
		Broker: memory, Presence: memory, PresenceLinger: time.Millisecond,
		Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Presence: true, BySession: true, JoinLeave: true}},
	})}
	watcher := n.as("watcher", "room:a")
	n.as("alice", "room:a")
	second := n.as("alice", "room:a")
	n.as("", "room:a")
	watcher.until("all joins", func() bool { return len(watcher.joinsAndLeaves("watcher")) == 3 })
	members, err := n.Members(context.Background(), &backend, "room:a")
	sessions := make(map[string]bool)
	for _, m := range members {
		sessions[m.Session] = true
	}
	if err != nil || len(members) != 4 || len(sessions) != 4 || sessions[""] {
		t.Errorf("members %+v, %v, want 4 sessions", members, err)
	}
	second.hangUp()
	watcher.until("a leave", func() bool { return count(watcher.joinsAndLeaves("watcher"), "leave alice") == 1 })
}

func TestPresence_OfAStormTheAudienceHearsThatItIsOne(t *testing.T) {
	memory := broker.NewMemory()
	n := &presenceNode{node: startNode(t, gateway.Config{
		Broker: memory, Presence: memory, Rules: presenceRules, Limits: gateway.Limits{PresencePerSecond: 5},
	})}
	watcher := n.as("watcher", "room:a")
	for i := range 50 {
		open(t, n.node, fmt.Sprint("user", i), "room:a")
	}
	watcher.expect(`gateway.PresenceChanged {"Channel":"room:a"}`)
	if n := len(watcher.joinsAndLeaves("watcher")); n > 25 {
		t.Errorf("%d joins were told one by one", n)
	}
}
