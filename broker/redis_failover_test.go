package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

func TestRedis_SlotMoves(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	a, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	b, _ := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := channelNames(30)
	subscribeAll(t, a, channels)
	o := broker.PublishOptions{HistorySize: 10}
	before, err := broker.Publish(t.Context(), b, message(channels[0], "before"), o)
	must(t, err)
	stop := keepPublishing(t, b, channels, broker.PublishOptions{})
	defer stop()
	cluster.MoveSlot(a.RedisName(channels[0]))
	gaps := told.WaitGaps(1)
	stop()
	for _, channel := range gaps {
		if tagOf(a.RedisName(channel)) != tagOf(a.RedisName(channels[0])) {
			t.Errorf("gap told for %q, whose slot stayed", channel)
		}
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels)
	page, err := b.Since(t.Context(), channels[0], broker.Position{}, broker.Most{})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].Position.Offset != before.Offset {
		t.Errorf("history after the move: %+v, %v", page, err)
	}
}

// A slot that moves disturbs nobody who publishes on other channels of the same master.
func TestRedis_SlotMovesAloneForOthers(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	moves := b.RedisName("a")
	from := cluster.Owner(moves)
	var others []string
	for _, channel := range channelNames(60) {
		if name := b.RedisName(channel); tagOf(name) != tagOf(moves) && cluster.Owner(name) == from {
			others = append(others, channel)
		}
	}
	stop := keepPublishing(t, b, []string{"a"}, broker.PublishOptions{})
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	for _, channel := range others {
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				o := broker.PublishOptions{HistorySize: n % 2}
				if _, err := broker.Publish(t.Context(), b, message(channel, "x"), o); err != nil {
					t.Errorf("on %q, whose slot stays: %v", channel, err)
				}
			}
		})
	}
	for _, to := range []*brokertest.RedisServer{cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2], from} {
		if to != cluster.Owner(moves) {
			cluster.MoveSlotTo(to, moves)
		}
	}
}

// Messages of a channel keep their order, though a slot that moves has some sent again.
func TestRedis_OrderOutlivesASlotThatMoves(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	name := b.RedisName("a")
	from := cluster.Owner(name)
	room := make(chan struct{}, 50) // for those that are not answered
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case room <- struct{}{}:
				o := broker.PublishOptions{HistorySize: plenty}
				b.Publish(message("a", fmt.Sprintf("%09d", n)), o, func(broker.Position, error) { <-room })
			}
		}
	})
	for _, to := range []*brokertest.RedisServer{cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2], from} {
		if to != cluster.Owner(name) {
			cluster.MoveSlotTo(to, name)
		}
	}
	publishAfter(t, b, "last")
	close(stop)
	wait.Wait()
	payloads, _ := since(t, b, broker.Position{})
	if payloads = payloads[:slices.Index(payloads, "last")]; !slices.IsSorted(payloads) || len(payloads) == 0 {
		t.Errorf("%d messages are not in the order in which they were published", len(payloads))
	}
}

// All that a node publishes on one master of a Cluster goes over one connection.
func TestRedis_PublishersOfAMasterShareAConnection(t *testing.T) {
	cluster := brokertest.StartRedisClusterOf(t, 1)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	var wait sync.WaitGroup
	for _, channel := range channelNames(500) {
		wait.Go(func() {
			for n := range 10 {
				if _, err := broker.Publish(t.Context(), b, message(channel, "x"), broker.PublishOptions{HistorySize: n % 2}); err != nil {
					t.Errorf("Publish: %v", err)
				}
			}
		})
	}
	wait.Wait()
	if list := cluster.Nodes[0].CLI("CLIENT", "LIST"); strings.Count(list, "id=") > 5 { // it also looks, subscribes, and asks for its rights
		t.Errorf("the connections are\n%s", list)
	}
}

// The master serves all publishes without history while a slot is being moved away.
func TestRedis_SlotIsBeingMoved(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	name := b.RedisName("a")
	from, to := cluster.Owner(name), cluster.Nodes[0]
	if to == from {
		to = cluster.Nodes[1]
	}
	from.CLI("CLUSTER", "SETSLOT", from.CLI("CLUSTER", "KEYSLOT", name), "MIGRATING", to.CLI("CLUSTER", "MYID"))
	if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); err != nil {
		t.Errorf("Publish: %v", err)
	}
	told.WaitMessages("a", 1)
}

// A former master goes on taking what is subscribed and published, as a replica. A
// node that stays with it depends on it for nothing.
func TestRedis_ClusterTakeovers(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	first := cluster.Nodes[0]
	second := cluster.AddReplica(first)
	a, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	b, itsTold := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	itsTold.WaitUp()
	channels := channelNames(40)
	subscribeAll(t, a, channels)
	for _, takes := range []struct{ over, from *brokertest.RedisServer }{{second, first}, {first, second}} {
		cluster.TakeOver(takes.over)
		brokertest.Eventually(t, "nobody to be subscribed at the former master", func() bool {
			return takes.from.CLI("PUBSUB", "SHARDCHANNELS") == ""
		})
		told.WaitUp()
		mustDeliver(t, b, told, channels)
		gaps := told.Gaps()
		takes.from.Pause()
		mustDeliver(t, b, told, channels)
		takes.from.Resume()
		if more := told.Gaps(); len(more) != len(gaps) {
			t.Errorf("gaps are told while the former master stands still: %q", more[len(gaps):])
		}
	}
	for _, channel := range told.Gaps() {
		if owner := cluster.Owner(a.RedisName(channel)); owner != first {
			t.Errorf("gap told for %q, whose master has stayed", channel)
		}
	}
}

// One connection to each master subscribes all that it has.
func TestRedis_ClusterOneSubscriberForEachMaster(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	subscribeAll(t, b, channelNames(200))
	for _, node := range cluster.Nodes {
		if list := strings.Fields(node.CLI("CLIENT", "LIST", "TYPE", "PUBSUB")); strings.Count(strings.Join(list, " "), "ssub=") != 1 {
			t.Errorf("subscribers at one master:\n%s", strings.Join(list, " "))
		}
	}
	mustDeliver(t, b, told, channelNames(200))
}

func tagOf(name string) string {
	tag, _, _ := strings.Cut(name, "}")
	return tag
}

// What one master has is unavailable while it is away. The rest is served, and so the
// node is of use: all nodes would say the same. Without most of them it is not.
func TestRedis_MasterOfClusterIsAway(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	channels := channelNames(60)
	subscribeAll(t, b, channels)
	away, later := cluster.Nodes[1], cluster.Nodes[2]
	var lost, kept []string
	for _, channel := range channels {
		switch cluster.Owner(b.RedisName(channel)) {
		case away:
			lost = append(lost, channel)
		case cluster.Nodes[0]:
			kept = append(kept, channel)
		}
	}
	if len(lost) == 0 || len(kept) == 0 {
		t.Fatalf("%d channels on the node, %d on another", len(lost), len(kept))
	}
	links := told.Links()
	away.Stop()
	brokertest.Eventually(t, "the lost master to be noticed", func() bool {
		start := time.Now()
		_, err := broker.Publish(t.Context(), b, message(lost[0], "x"), broker.PublishOptions{})
		if took := time.Since(start); took > promptly || err != nil && !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("Publish to the lost master answered after %v: %v", took, err)
		}
		return err != nil
	})
	seesPartOfPresence(t, b, kept[0], lost[0])
	mustDeliver(t, b, told, kept)
	if told.Links() != links {
		t.Error("the link is said to be down, though two masters are there")
	}
	later.Stop()
	told.WaitDown()
	later.Start()
	away.Start()
	told.WaitUp()
	mustDeliver(t, b, told, channels)
	for _, channel := range told.Gaps() {
		if slices.Contains(kept, channel) {
			t.Errorf("gap told for %q, whose master was there", channel)
		}
	}
	for _, channel := range lost {
		if !slices.Contains(told.Gaps(), channel) {
			t.Errorf("no gap told for %q", channel)
		}
	}
}

// A master that does not answer takes nothing from the others.
func TestRedis_MasterOfClusterIsSilent(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	silent := cluster.Nodes[1]
	var lost, kept []string
	for _, channel := range channelNames(200) {
		if cluster.Owner(b.RedisName(channel)) == silent {
			lost = append(lost, channel)
		} else {
			kept = append(kept, channel)
		}
	}
	silent.Pause()
	defer silent.Resume()
	standing, err := b.Keep(t.Context(), broker.Attendant{Node: "n run", Lease: time.Minute}, 1)
	if !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Keep: %v", err)
	}
	for _, channel := range kept {
		if standing.Since(channel) == 0 {
			t.Errorf("the presence of %q, whose master answers, is not known", channel)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	for _, channel := range lost {
		wait.Go(func() {
			for ctx.Err() == nil {
				_, _ = b.Latest(ctx, channel, broker.Most{})
			}
		})
	}
	for _, channel := range kept {
		if _, err := b.Latest(t.Context(), channel, broker.Most{}); err != nil {
			t.Errorf("the history of %q, whose master answers: %v", channel, err)
		}
	}
}

// That notices were dropped is told, though another master does not answer.
func TestRedis_DroppedNoticesAreToldWithoutAMaster(t *testing.T) {
	cluster := brokertest.StartRedisCluster(t)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	by := broker.Attendant{Node: "n run", Lease: time.Minute, Room: 1}
	put := func() {
		_, err := b.Put(t.Context(), by, []broker.Notice{{Event: "published", Channel: "a", Message: &broker.Message{Channel: "a"}}})
		must(t, err)
	}
	teller := broker.Teller{Node: "n run", Lease: time.Minute, Most: 10}
	put()
	line, err := b.Take(t.Context(), teller)
	must(t, err)
	put() // for which there is no room
	for _, node := range cluster.Nodes {
		if node != cluster.Owner(b.RedisName("a")) {
			node.Stop()
			break
		}
	}
	for _, n := range line.Notices {
		teller.Delivered = append(teller.Delivered, n.ID)
	}
	if line, _ = b.Take(t.Context(), teller); line.Dropped != 1 || len(line.Notices) != 0 {
		t.Errorf("%d notices, %d dropped; want none, and one", len(line.Notices), line.Dropped)
	}
}

// seesPartOfPresence checks that what is known of the channel kept is told beside the error
// for the channel lost.
func seesPartOfPresence(t *testing.T, b *broker.Redis, kept, lost string) {
	t.Helper()
	by := broker.Attendant{Node: "n run", Lease: time.Minute}
	taken, err := b.Attend(t.Context(), by, []broker.Attendance{
		{Channel: lost, Version: 1, Whole: true, Sessions: 1}, {Channel: kept, Version: 2, Whole: true, Sessions: 1},
	})
	if !slices.Equal(taken, []bool{false, true}) || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Attend = %v, %v", taken, err)
	}
	standing, err := b.Keep(t.Context(), by, 3)
	if got := [2]uint64{standing.Since(kept), standing.Since(lost)}; got != [2]uint64{2, 0} || standing.Forgot == 0 || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Keep = since %v, forgot %d, %v", got, standing.Forgot, err)
	}
	on, err := b.Attended(t.Context(), by)
	if !slices.Equal(on, []string{kept}) || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Attended = %q, %v", on, err)
	}
	seen, err := b.Look(t.Context(), []string{lost, kept})
	if len(seen) != 1 || seen[kept].IsZero() || !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("Look = %+v, %v", seen, err)
	}
}

func TestRedis_SentinelFailover(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	channels := channelNames(20)
	subscribeAll(t, b, channels)
	o := broker.PublishOptions{HistorySize: 10}
	before, err := broker.Publish(t.Context(), b, message("a", "1"), o)
	must(t, err)
	old := sentinel.Master()
	old.Pause()
	brokertest.Eventually(t, "the failover", func() bool { return sentinel.Master() != old })
	if gaps := told.WaitGaps(len(channels)); !slices.Equal(gaps, channels) {
		t.Errorf("gaps told: %q, want each subscribed channel once", gaps)
	}
	told.WaitUp()
	mustDeliver(t, b, told, channels)

	// The new master may not have had all: nobody may trust an old cursor.
	page, err := b.Since(t.Context(), "a", before, broker.Most{})
	if err != nil || !page.Lost || page.Top.Epoch == before.Epoch {
		t.Errorf("since before the failover: %+v, %v; want another epoch, and lost", page, err)
	}
}

// Nobody can ask a Sentinel any more. A master whose replica has left it may be one
// no longer.
func TestRedis_SentinelsAreAway(t *testing.T) {
	sentinel := brokertest.StartRedisSentinel(t)
	b, told := startNode(t, broker.RedisConfig{URL: sentinel.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	replica := sentinel.Servers[1]
	brokertest.Eventually(t, "the master to know of its replica", func() bool {
		return strings.Contains(sentinel.Servers[0].CLI("INFO", "replication"), "state=online")
	})
	mustDeliver(t, b, told, []string{"a"})

	sentinel.Sentinel.Pause()
	for start := time.Now(); time.Since(start) < 4*time.Second; {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); err != nil {
			t.Fatalf("with a master that has all its replicas: %v", err)
		}
	}
	replica.CLI("REPLICAOF", "NO", "ONE") // as a Sentinel does
	if err := told.WaitDown(); !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("the link is down because of %v", err)
	}
	for _, o := range []broker.PublishOptions{{}, {HistorySize: 5}} {
		if _, err := broker.Publish(t.Context(), b, message("a", "x"), o); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("published at a master that may be none: %v", err)
		}
	}
	sentinel.Sentinel.Resume()
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
}

// A replica that the Sentinels have not been asked about since it joined counts, too.
func TestRedis_ReplicaJoinsWhileSentinelsAreAway(t *testing.T) {
	brokertest.RequireRedis(t)
	master := brokertest.StartRedis(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(master.Addr, ":")
	var away atomic.Bool
	var asked atomic.Int64 // while away
	sentinel := startFakeRedis(t, func(command []string) (string, bool) {
		switch {
		case away.Load():
			asked.Add(1)
			return "-ERR away\r\n", true
		case strings.EqualFold(strings.Join(command, " "), "sentinel get-master-addr-by-name main"):
			return "*2\r\n" + bulk(host) + bulk(port), true
		}
		return "*2\r\n" + bulk("config-epoch") + bulk("1"), true
	})
	_, told := startNode(t, broker.RedisConfig{URL: strings.Replace(sentinel.URL, "redis://", "redis+sentinel://", 1) + "/main"})
	told.WaitUp()
	away.Store(true)
	replica := brokertest.StartRedis(t, "--replicaof", host+" "+port)
	brokertest.Eventually(t, "the master to know of its replica", func() bool {
		return strings.Contains(master.CLI("INFO", "replication"), "state=online")
	})
	looks := asked.Load() + 2 // the node has then looked at the master in between
	brokertest.Eventually(t, "the node to look", func() bool { return asked.Load() >= looks })
	replica.CLI("REPLICAOF", "NO", "ONE")
	if err := told.WaitDown(); !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("the link is down because of %v", err)
	}
}

// fakeSentinel is a Sentinel that says what the test has it say.
type fakeSentinel struct {
	*fakeRedis
	names atomic.Pointer[[3]string] // host, port and epoch of the master; nil if it is away
	asked atomic.Int32              // for the address
}

func startFakeSentinel(t *testing.T) *fakeSentinel {
	s := &fakeSentinel{}
	s.fakeRedis = startFakeRedis(t, func(command []string) (string, bool) {
		master := s.names.Load()
		switch {
		case master == nil:
			return "-ERR away\r\n", true
		case strings.EqualFold(strings.Join(command, " "), "sentinel get-master-addr-by-name main"):
			s.asked.Add(1)
			return "*2\r\n" + bulk(master[0]) + bulk(master[1]), true
		}
		return "*2\r\n" + bulk("config-epoch") + bulk(master[2]), true
	})
	return s
}

func (s *fakeSentinel) name(server *brokertest.RedisServer, epoch string) {
	s.nameAt(server.Addr, epoch)
}

func (s *fakeSentinel) nameAt(address, epoch string) {
	host, port, _ := strings.Cut(address, ":")
	s.names.Store(&[3]string{host, port, epoch})
}

func startFakeSentinels(t *testing.T, n int) (all []*fakeSentinel, url string) {
	var addresses []string
	for range n {
		s := startFakeSentinel(t)
		all, addresses = append(all, s), append(addresses, strings.TrimPrefix(s.URL, "redis://"))
	}
	return all, "redis+sentinel://" + strings.Join(addresses, ",") + "/main"
}

// untilAlone ends all Sentinels but the first, and calls do again and again until the node has
// asked the first for longer than it believes the others' last answers (2 s, asking once a
// second).
func untilAlone(sentinels []*fakeSentinel, do func()) {
	for _, s := range sentinels[1:] {
		s.names.Store(nil)
	}
	for enough := sentinels[0].asked.Load() + 5; sentinels[0].asked.Load() < enough; {
		do()
	}
}

// startThreeSentinels starts a node with a master and its replica, and three Sentinels that name the
// master.
func startThreeSentinels(t *testing.T) (master, replica *brokertest.RedisServer, sentinels []*fakeSentinel, b *broker.Redis, told *brokertest.Recorder) {
	t.Helper()
	brokertest.RequireRedis(t)
	master = brokertest.StartRedis(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(master.Addr, ":")
	replica = brokertest.StartRedis(t, "--replicaof", host+" "+port)
	brokertest.Eventually(t, "the master to know of its replica", func() bool {
		return strings.Contains(master.CLI("INFO", "replication"), "state=online")
	})
	sentinels, url := startFakeSentinels(t, 3)
	for _, s := range sentinels {
		s.name(master, "1")
	}
	b, told = startNode(t, broker.RedisConfig{URL: url})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	return master, replica, sentinels, b, told
}

// trusts checks that the node publishes at its master.
func trusts(t *testing.T, b *broker.Redis) {
	t.Helper()
	if _, err := broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{}); err != nil {
		t.Fatalf("with a master that has all its replicas: %v", err)
	}
}

// One of three Sentinels is with the node and the former master, cut off from the others, which
// have promoted the replica. It says nothing against the former master.
func TestRedis_OneSentinelOfThreeIsCutOff(t *testing.T) {
	_, replica, sentinels, b, told := startThreeSentinels(t)
	untilAlone(sentinels, func() { trusts(t, b) })
	replica.CLI("REPLICAOF", "NO", "ONE")
	if err := told.WaitDown(); !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("the link is down because of %v", err)
	}
	sentinels[0].name(replica, "2") // it has heard of the others
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
}

// A replica that the master does not hear of may be one that was promoted. When it is heard of
// again it was not.
func TestRedis_ReplicaIsSilentWhileSentinelsAreAway(t *testing.T) {
	_, replica, sentinels, b, told := startThreeSentinels(t)
	untilAlone(sentinels, func() { trusts(t, b) })
	replica.Pause()
	if err := told.WaitDown(); !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("the link is down because of %v", err)
	}
	replica.Resume()
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
}

// A master that does not answer while the Sentinels name it last still has as many replicas as
// before.
func TestRedis_MasterIsSlowWhenSentinelsGo(t *testing.T) {
	master, _, sentinels, b, told := startThreeSentinels(t)
	awaitLook := func(sentinels ...*fakeSentinel) {
		before := make(map[*fakeSentinel]int32)
		for _, s := range sentinels {
			before[s] = s.asked.Load()
		}
		brokertest.Eventually(t, "the node to look", func() bool {
			return !slices.ContainsFunc(sentinels, func(s *fakeSentinel) bool { return s.asked.Load() == before[s] })
		})
	}
	awaitLook(sentinels...)
	awaitLook(sentinels[0]) // the look before has counted the replicas
	master.Pause()
	awaitLook(sentinels...)
	told.WaitDown()
	resume := sync.OnceFunc(func() {
		awaitLook(sentinels[0]) // the look before has not
		master.Resume()
		told.WaitUp()
	})
	untilAlone(sentinels, func() {
		resume()
		trusts(t, b)
	})
}

// A Sentinel that has slept through a failover answers alone. The node stays with the new master.
func TestRedis_SentinelHasSleptThroughAFailover(t *testing.T) {
	brokertest.RequireRedis(t)
	former, master := brokertest.StartRedis(t), brokertest.StartRedis(t)
	sentinels, url := startFakeSentinels(t, 3)
	sentinels[0].name(former, "1")
	sentinels[1].name(master, "2")
	sentinels[2].name(master, "2")
	b, told := startNode(t, broker.RedisConfig{URL: url})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	untilAlone(sentinels, func() {
		_, _ = broker.Publish(t.Context(), b, message("a", "x"), broker.PublishOptions{HistorySize: 5})
	})
	if former.CLI("EXISTS", b.RedisName("a")) != "0" {
		t.Error("published at the former master, which one Sentinel names")
	}
	mustDeliver(t, b, told, []string{"a"})
}

// A node that cannot reach the master that the Sentinels name cannot use Redis, though the former
// one still answers.
func TestRedis_NewMasterCannotBeReached(t *testing.T) {
	brokertest.RequireRedis(t)
	former, master := brokertest.StartRedis(t), brokertest.StartRedis(t)
	way := brokertest.LayWay(t, master.Addr)
	sentinel := startFakeSentinel(t)
	sentinel.name(former, "1")
	b, told := startNode(t, broker.RedisConfig{URL: strings.Replace(sentinel.URL, "redis://", "redis+sentinel://", 1) + "/main"})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	way.Break()
	sentinel.nameAt(way.Addr, "2")
	told.WaitDown()
	way.Mend()
	told.WaitUp()
	mustDeliver(t, b, told, []string{"a"})
}

// A Sentinel may name a master that is not promoted yet.
func TestRedis_SentinelNamesAReplica(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--replicaof", "127.0.0.1 1")
	host, port, _ := strings.Cut(server.Addr, ":")
	sentinel := startFakeRedis(t, func(command []string) (string, bool) {
		switch strings.ToLower(strings.Join(command, " ")) {
		case "sentinel get-master-addr-by-name main":
			return "*2\r\n" + bulk(host) + bulk(port), true
		case "sentinel master main":
			return "*2\r\n" + bulk("config-epoch") + bulk("1"), true
		}
		return "", false
	})
	b, told := startNode(t, broker.RedisConfig{URL: strings.Replace(sentinel.URL, "redis://", "redis+sentinel://", 1) + "/main"})
	if err := told.WaitDown(); !strings.Contains(err.Error(), "replica") {
		t.Errorf("the link is down because of %v", err)
	}
	for _, o := range []broker.PublishOptions{{}, {HistorySize: 5}} {
		brokertest.Eventually(t, "a publish to be refused since it is a replica", func() bool {
			_, err := broker.Publish(t.Context(), b, message("a", "x"), o)
			if !errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("published at a replica: %v", err)
			}
			return err != nil && strings.Contains(err.Error(), "replica")
		})
	}
	server.CLI("REPLICAOF", "NO", "ONE")
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	mustDeliver(t, b, told, []string{"a"})
}
