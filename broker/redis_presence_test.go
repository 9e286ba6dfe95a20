package broker_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/broker/simredis"
)

// TestRedis_PutSaysWhatIsInLine: what was put in line before Redis refused more is not
// to be put there again.
func TestRedis_PutSaysWhatIsInLine(t *testing.T) {
	t.Parallel()
	server := brokertest.StartRedis(t)
	server.CLI("SET", "tidegate:tidegate notices broken", "no line")
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	const batch = 100
	list := slices.Repeat([]broker.Notice{{Line: "shop", Event: "published", Channel: "a"}}, batch)
	list = append(list, broker.Notice{Line: "broken", Event: "published", Channel: "a"})
	inLine, err := b.Put(t.Context(), broker.Attendant{Node: "n", Lease: time.Minute}, list)
	if want := append(slices.Repeat([]bool{true}, batch), false); err == nil || !slices.Equal(inLine, want) {
		t.Errorf("in line are %v, %v", inLine, err)
	}
	line, err := b.Take(t.Context(), broker.Teller{Line: "shop", Node: "n", Lease: time.Minute, Most: 1000})
	if err != nil || len(line.Notices) != batch {
		t.Errorf("%d notices are in line, %v", len(line.Notices), err)
	}
}

// A teller is given no more notices than it asks for, and as many if they are there, whether they
// wait in all partitions of a Cluster or in one.
func TestRedis_TellerIsGivenWhatItAsksFor(t *testing.T) {
	cluster := brokertest.StartRedisClusterOf(t, 1)
	b, told := startNode(t, broker.RedisConfig{URL: cluster.URL()})
	told.WaitUp()
	for name, channels := range map[string][]string{"all": channelNames(2000), "one": {"a"}, "two": {"a", "b"}} {
		t.Run(name, func(t *testing.T) {
			const all, most = 2000, 300
			by := broker.Attendant{Node: "n", Lease: time.Minute}
			var list []broker.Notice
			for i := range all {
				list = append(list, broker.Notice{Line: name, Event: "published", Channel: channels[i%len(channels)]})
			}
			_, err := b.Put(t.Context(), by, list)
			must(t, err)
			teller := broker.Teller{Line: name, Node: "n", Lease: time.Minute, Most: most}
			for left := all; left > 0; {
				line, err := b.Take(t.Context(), teller)
				must(t, err)
				if n := len(line.Notices); n > most || n < min(most, left)*8/10 {
					t.Fatalf("given %d of %d, want %d", n, left, most)
				}
				teller.Delivered = nil
				for _, n := range line.Notices {
					teller.Delivered = append(teller.Delivered, n.ID)
				}
				left -= len(line.Notices)
			}
			if line, err := b.Take(t.Context(), teller); err != nil || len(line.Notices) > 0 {
				t.Errorf("in the end %d are left, %v", len(line.Notices), err)
			}
		})
	}
}

// However many ask at the same time who is on a channel, Redis is asked a few times.
func TestRedis_ManyWhoAskForMembersShareReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := simredis.New(1)
		defer servers.Close()
		server := servers.Start("redis:6379")
		b := newRedis(t, broker.RedisConfig{URL: "redis://redis", Dial: servers.NewWay(1, 100*time.Millisecond).Dial})
		told, stop := brokertest.RunBroker(t, b)
		defer stop()
		told.WaitUp()
		list := []broker.Attendance{{Channel: "a", Version: 1, Sessions: 1, Members: []broker.Member{{User: "alice", Sessions: 1}}}}
		if _, err := b.Attend(t.Context(), broker.Attendant{Node: "n", Lease: time.Hour}, list); err != nil {
			t.Fatal(err)
		}
		before := server.Answers()
		var asking sync.WaitGroup
		for range 1000 {
			asking.Go(func() {
				if roster, err := b.Members(t.Context(), "a"); err != nil || len(roster.Members) != 1 {
					t.Errorf("%+v, %v", roster, err)
				}
			})
		}
		asking.Wait()
		if n := server.Answers() - before; n > 50 { // with what else a node asks
			t.Errorf("Redis was asked %d times", n)
		}
	})
}
