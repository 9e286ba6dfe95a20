package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// storm is a trial with several faults at the same time. It has three nodes, each with its
// own proxy to every server.
type storm struct {
	*trial
	addresses []string            // where the nodes listen during the storm
	ways      [][]*brokertest.Way // of each node, to the servers
	urls      []string            // of Redis, for each node
	http      http.Client         // of the publishers
	published answered
	epochs    map[string]string        // by channel, at the last outcomes
	absences  [stormNodes]atomic.Int64 // counts begins and ends: odd while a node is gone or suspended

	master    func(channel string) *brokertest.RedisServer // returns nil if no server says that it is the master
	redisName func(channel string) string
}

// stormRules leave little buffer for clients that do not read, and have leases shorter than
// a node may be suspended.
const stormRules = `
channels:
  - {match: "kept:*", subscribe: anyone, publish: anyone, presence: true, history: {size: 3000}}
  - {match: "live:*", subscribe: anyone, publish: anyone}
limits: {commands_per_second: 0, outbox_bytes: 65536}
presence: {lease: 3s, linger: 1s}
drain: {window: 1s}
`

const stormNodes = 3

// newStorm starts nodes that reach the servers through their own proxies. url returns the
// Redis URL for these proxies.
func newStorm(t *testing.T, data, others []*brokertest.RedisServer, url func([]*brokertest.Way) string) *storm {
	t.Helper()
	s := &storm{http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	for range stormNodes {
		ways := brokertest.LayWays(t, append(slices.Clone(data), others...)...)
		s.ways, s.urls = append(s.ways, ways), append(s.urls, url(ways))
	}
	s.trial = newTrialWith(t, stormRules, data, s.urls...)
	s.addresses = addressesOf(s.nodes)
	t.Cleanup(s.keepLogs)
	t.Cleanup(s.http.CloseIdleConnections)
	names, err := broker.NewRedis(broker.RedisConfig{URL: s.urls[0]})
	must(t, err)
	s.redisName = names.RedisName
	return s
}

// keepLogs writes the logs of the nodes to the folder FAULT_LOGS if the trial has failed.
func (s *storm) keepLogs() {
	folder := os.Getenv("FAULT_LOGS")
	if folder == "" || !s.t.Failed() {
		return
	}
	for i, n := range s.nodes {
		put(s.t, filepath.Join(folder, fmt.Sprintf("%s-%d.log", filepath.Base(s.t.Name()), i)), n.said()+"\n")
	}
}

func stormOnRedis(t *testing.T) *storm {
	server := brokertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newStorm(t, []*brokertest.RedisServer{server}, nil,
		func(ways []*brokertest.Way) string { return "redis://" + ways[0].Addr })
	s.master = func(string) *brokertest.RedisServer { return server }
	return s
}

func stormOnSentinel(t *testing.T) *storm {
	sentinel := brokertest.StartRedisSentinel(t)
	data := sentinel.Servers[:]
	s := newStorm(t, data, []*brokertest.RedisServer{sentinel.Sentinel}, func(ways []*brokertest.Way) string {
		return "redis+sentinel://" + ways[len(data)].Addr + "/main"
	})
	s.sentinel = sentinel
	s.master = func(string) *brokertest.RedisServer { return only(data, isMaster) }
	return s
}

func stormOnCluster(t *testing.T) *storm {
	cluster := brokertest.StartRedisCluster(t)
	spare := cluster.AddReplica(cluster.Nodes[0])
	data := append(slices.Clone(cluster.Nodes), spare)
	s := newStorm(t, data, nil, func(ways []*brokertest.Way) string {
		return "redis+cluster://" + ways[0].Addr + "," + ways[1].Addr + "," + ways[2].Addr
	})
	s.cluster = cluster
	s.master = func(channel string) *brokertest.RedisServer {
		return only(data, func(server *brokertest.RedisServer) bool {
			_, err := server.Try("EXISTS", s.redisName(channel))
			return (err == nil || strings.HasPrefix(err.Error(), "ASK")) && isMaster(server)
		})
	}
	return s
}

func isMaster(server *brokertest.RedisServer) bool {
	said, err := server.Try("INFO", "replication")
	return err == nil && strings.Contains(said, "role:master")
}

// only returns the server for which holds is true, or nil if there is none or more than one.
func only(servers []*brokertest.RedisServer, holds func(*brokertest.RedisServer) bool) (found *brokertest.RedisServer) {
	for _, server := range servers {
		if holds(server) && found != nil {
			return nil
		} else if holds(server) {
			found = server
		}
	}
	return found
}

// load subscribes witnesses of every kind on every node and starts to publish.
func (s *storm) load() {
	s.t.Helper()
	s.addStreams()
	s.streams[0].channel += strings.Repeat("-", 200) // so that a slow witness soon exceeds its buffer
	s.streams[0].every = 10 * time.Millisecond
	s.loadStreams()
}

func (s *storm) loadStreams() {
	s.t.Helper()
	s.streams[len(s.streams)-1].keyless = true
	if s.cluster != nil {
		for i, shard := range []int{0, 0, 1, 0, 0} {
			for s.cluster.Owner(s.redisName(s.streams[i].channel)) != s.cluster.Nodes[shard] {
				s.streams[i].channel += "-"
			}
		}
	}
	for i := range s.nodes {
		by := reachingAny(s.addresses, i)
		for k, st := range s.streams {
			s.listen(st, "http://gateway", by)
			switch {
			case k == 0:
				s.witness(newWitness("slow", st, "http://gateway", by))
				fallthrough
			case st.kept:
				s.witness(newWitness("wandering", st, "http://gateway", by))
			}
		}
	}
	s.publishOverHTTP()
}

// strike is a fault with a beginning and a duration.
type strike struct {
	what      *mishap
	node      int
	at, lasts time.Duration
}

func (k strike) String() string {
	return fmt.Sprintf("%v %s (node %d, %v)", k.at.Round(time.Millisecond), k.what.name, k.node, k.lasts.Round(time.Millisecond))
}

// again is the interval at which a strike is retried that another fault has prevented.
const again = 200 * time.Millisecond

// rage begins and ends all strikes and returns how many occurred. A strike that cannot
// occur yet is delayed, and dropped after a while.
func (s *storm) rage(strikes []strike) (happened int) {
	s.t.Helper()
	type event struct {
		of strike
		at time.Duration
		do func() (end func() error, err error)
	}
	happened = len(strikes)
	var events []event
	for _, k := range strikes {
		events = append(events, event{k, k.at, func() (func() error, error) { return k.what.begin(s, k.node) }})
	}
	for began := time.Now(); len(events) > 0; {
		slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
		next := events[0]
		events = events[1:]
		s.lasts(next.at - time.Since(began))
		end, err := next.do()
		now := time.Since(began)
		switch {
		case err != nil && now > next.of.at+next.of.lasts+patience:
			s.t.Logf("%v: %v", next.of, err)
			happened--
		case err != nil:
			events = append(events, event{next.of, now + again, next.do})
		case end != nil:
			events = append(events, event{next.of, now + next.of.lasts, func() (func() error, error) { return nil, end() }})
		}
	}
	return happened
}

// isRedisWell reports whether each stream has one master and the Sentinel, if there is one,
// agrees: after being suspended, a Sentinel does nothing for half a minute.
func (s *storm) isRedisWell() bool {
	for _, st := range s.streams {
		master := s.master(st.channel)
		if master == nil || s.sentinel != nil && s.sentinel.Master() != master {
			return false
		}
	}
	return true
}

// awaitRedis blocks until Redis is well. If that does not happen, it logs the state of the
// servers: no node can help then.
func (s *storm) awaitRedis() {
	s.t.Helper()
	well := false
	defer func() {
		if well {
			return
		}
		for _, server := range s.redis {
			said, err := server.Try("INFO", "replication")
			s.t.Log(server.Addr, err, said)
		}
		if s.sentinel != nil {
			said, err := s.sentinel.Sentinel.Try("SENTINEL", "MASTERS")
			tilt, _ := s.sentinel.Sentinel.Try("INFO", "sentinel")
			s.t.Log("the Sentinel", err, said, tilt)
		}
	}()
	brokertest.Eventually(s.t, "Redis to be well", s.isRedisWell)
	well = true
}

// settle blocks until everything is well again, compares the logs with the promises,
// and resets them.
func (s *storm) settle(k ...strike) outcomes {
	s.t.Helper()
	s.awaitRedis()
	s.isReady()
	s.flows(10)
	for _, st := range s.streams {
		st.turn.Lock()
		defer st.turn.Unlock()
		s.allHave(st)
	}
	return s.takeOutcomes(k)
}

// outcomes are the results of one or more strikes.
type outcomes struct {
	silent, twice int // losses and repetitions without a gap
	lost, told    int // messages lost, and gaps reported
	vain          int // gaps at which nothing was lost
	published     int
	slowest       time.Duration // slowest answer to a publish
	epochs        bool          // an epoch has ended
}

func (s *storm) takeOutcomes(strikes []strike) (o outcomes) {
	s.t.Helper()
	o.published, o.slowest = s.published.take()
	before := s.epochs
	s.epochs = s.lookUpEpochs()
	o.epochs = !maps.Equal(before, s.epochs)
	quiet := !slices.ContainsFunc(strikes, func(k strike) bool { return k.what.breaks })
	for _, w := range s.witnesses {
		st := s.streamOf(w)
		found := w.judge(st, told)
		o.add(found)
		if found.wrong != "" {
			s.t.Errorf("%v: %v: %s; its log: %v", strikes, w, found.wrong, w.gapsHeard())
		}
		stays := before[st.channel] == s.epochs[st.channel]
		if stays && st.kept && w.kind != "raw" && found.gaps > 0 {
			s.t.Errorf("%v: %v was told of %d gaps, and no epoch has ended", strikes, w, found.gaps)
		}
		if stays && quiet && found.gaps > 0 {
			s.t.Errorf("%v: %v was told of %d gaps, and no link was lost", strikes, w, found.gaps)
		}
		w.begin(int(st.last.Load()))
	}
	for _, st := range s.streams {
		clear(st.confirmed) // the logs have been compared with them
	}
	if o.slowest > slowestAnswer {
		s.t.Errorf("%v: a publish was answered after %v", strikes, o.slowest)
	}
	return o
}

const pairsHead = `| faults | confirmed | silently lost | silently duplicated | lost and reported | gaps reported | false alarms | epochs |
|---|---|---|---|---|---|---|---|
`

func (o outcomes) row(what ...string) string {
	epochs := "stay"
	if o.epochs {
		epochs = "end"
	}
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %s |",
		strings.Join(what, " + "), o.published, o.silent, o.twice, o.lost, o.told, o.vain, epochs)
}

func (o *outcomes) add(f finding) {
	o.lost += f.lost
	o.told += f.gaps
	o.vain += f.vain
	o.silent += f.silent
	o.twice += f.twice
}

func (s *storm) streamOf(w *witness) *stream {
	return s.streams[slices.IndexFunc(s.streams, func(st *stream) bool { return st.channel == w.channel })]
}

// lookUpEpochs returns the epochs of the channels with history.
func (s *storm) lookUpEpochs() map[string]string {
	s.t.Helper()
	epochs := make(map[string]string)
	for _, st := range s.streams {
		if st.kept {
			body := eventually(s.t, s.nodes[0].public("/api/channels/"+st.channel+"/messages?limit=1"), http.StatusOK)
			_, rest, _ := strings.Cut(body, `"cursor":"`)
			epochs[st.channel], _, _ = strings.Cut(rest, ":")
		}
	}
	return epochs
}
