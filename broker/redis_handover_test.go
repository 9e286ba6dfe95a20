package broker

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// movers is a Cluster of which a test says what was seen of the masters.
type movers struct {
	topology
	gives bool
}

func (m movers) gave(context.Context, string, mastership, *process) bool { return m.gives }

// Only what is sure to have come whole does not end an era.
func TestPartition_VouchesForWhatOneMasterGaveToAnother(t *testing.T) {
	sound := mastership{line: line{"new", "r2", "0"}}
	for name, c := range map[string]struct {
		met    bool
		gives  bool
		after  time.Duration // the node was sure of the former master
		to     mastership
		uptime time.Duration
		from   string
		doubts bool
	}{
		"given":                             {true, true, sureFor, sound, 2 * sureFor, "old-r1-0-", false},
		"by somebody who was not":           {false, true, 0, sound, 2 * sureFor, "", false},
		"by somebody else, or not whole":    {true, false, 0, sound, 2 * sureFor, "", true},
		"long ago":                          {true, true, 2 * sureFor, sound, 4 * sureFor, "", true},
		"to one that has just started":      {true, true, 0, sound, sureFor, "", true},
		"to who took over, long ago":        {true, true, 2 * sureFor, mastership{line: line{"new", "r2", "9"}, before: "r1"}, sureFor, "old-r1-0-", false},
		"to who took over, and had not all": {true, false, 0, mastership{line: line{"new", "r2", "9"}, before: "r1"}, 2 * sureFor, "", true},
		"nothing, by the same one":          {true, true, 0, mastership{line: line{"old", "r1", "0"}}, 2 * sureFor, "", false},
		"nothing, by one with a replica":    {true, true, 0, mastership{line: line{"old", "r4", "0"}}, 2 * sureFor, "", false},
		"nothing, by one that was demoted":  {true, true, 0, mastership{line: line{"old", "r4", "0"}, before: "r1"}, 2 * sureFor, "", false},
		"nothing, by one that followed":     {true, false, 0, mastership{line: line{"old", "r4", "9"}, before: "r3"}, 2 * sureFor, "", true},
		"nothing, and the backlog is gone":  {true, false, 0, mastership{line: line{"old", "r4", "9"}}, 2 * sureFor, "", true},
		"nothing, by one in a ring":         {true, false, 0, mastership{line: line{"old", "r4", "9"}, before: "r1"}, 2 * sureFor, "", true},
		"nothing, and Redis 6 has replicas": {true, false, 0, mastership{line: line{"old", "r4", ""}}, 2 * sureFor, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPartitions(&servers{redisNames: newRedisNames("", 1, false), topology: movers{gives: c.gives}}, 0)[0]
				if c.met {
					p.trust.learn(p.trust.vouch(&process{mastership: mastership{line: line{"old", "r1", "0"}}}, time.Now()), "era", time.Now())
				}
				time.Sleep(c.after)
				to := &process{mastership: c.to, uptime: c.uptime}
				v := p.vouch(t.Context(), to, time.Now())
				if v.from != c.from || v.doubted.IsZero() == c.doubts {
					t.Errorf("it vouches for %+v", v)
				}
				p.trust.learn(v, "era", time.Now())
				if again := p.vouch(t.Context(), to, time.Now()); again.from != "" || !again.doubted.IsZero() {
					t.Errorf("once Redis knows, it vouches for %+v", again)
				}
			})
		})
	}
}

// There is a look after each failure, also while a node asks the former master. It must not
// end the connection: a handover would then count as a loss.
func TestCluster_AsksAFormerMasterWhateverALookFinds(t *testing.T) {
	former, now := startRole(t, "slave", "up"), startRole(t, "master", "")
	var c *cluster
	look := func() { c.believe([]view{{of: now, masters: map[int]string{c.slots["a"]: now}}}) }
	dial := redisDialer{poolSize: 1, other: func(ctx context.Context, network, address string) (net.Conn, error) {
		look()
		return redis.NewDialer(&redis.Options{Addr: address})(ctx, network, address)
	}}
	c = newCluster(dial, []string{"a"})
	defer c.close()
	c.believe([]view{{of: former, masters: map[int]string{c.slots["a"]: former}}})
	look()
	if giver := c.askAgain(t.Context(), mastership{address: former}); giver == nil || !giver.synced {
		t.Errorf("the former master is known as %+v, want a replica", giver)
	}
}
