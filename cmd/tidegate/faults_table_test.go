package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// fault is one row of the table: a fault that is injected into a cluster under load, and
// its permitted results.
type fault struct {
	name       string
	stage      func(*testing.T) *trial
	load       func(*trial) // starts the load; nil means (*trial).load
	strike     func(*trial) // injects the fault and returns when it is over
	kept, live promise      // promises for channels with and without history
	reads      int          // the most range reads, for each channel and node, in each readsLast; 0 means any number
	together   bool         // takes long without much work, so it runs in parallel
}

var faults = []fault{
	{name: "SIGKILL one of two nodes", stage: twoNodes, strike: killNode, live: told, reads: 1},
	{name: "restart Redis with its data", stage: twoNodesOnDisk, strike: restartRedis, kept: once, live: told, reads: 4},
	{name: "restart Redis without its data", stage: twoNodes, strike: restartRedis, kept: told, live: told, reads: 4},
	{name: "FLUSHALL", stage: twoNodes, strike: flushRedis, kept: told, reads: 2},
	{name: "CLIENT KILL TYPE pubsub", stage: twoNodes, strike: killSubscribers, live: told, reads: 2},
	{name: "lose one message in transit, followed by another or not", stage: twoNodes, strike: loseMessages, reads: 2},
	{name: "cut one node's link to Redis for 5 s", stage: oneNodeOnAWay, strike: interrupt((*brokertest.Way).Break), live: told, reads: 2, together: true},
	{name: "make one node's link a black hole for 5 s", stage: oneNodeOnAWay, strike: interrupt((*brokertest.Way).BlockBoth), live: told, reads: 2, together: true},
	{name: "SIGSTOP Redis for 8 s", stage: twoNodes, strike: pauseRedis, live: told, reads: 2, together: true},
	{name: "fail over a Sentinel's master", stage: onSentinel, strike: failOver, kept: told, live: told, reads: 4, together: true},
	{name: "move a slot of a Cluster", stage: onCluster, strike: moveSlot, kept: once, live: told, reads: 2},
	{name: "replace three nodes one by one (SIGTERM) behind HAProxy", stage: threeNodes, load: loadBalanced, strike: rollOut, live: told},
	{name: "SIGKILL a node with 5,000 sessions on one channel, which resume on another", stage: twoNodes, load: loadCrowd, strike: killCrowded, reads: 2},
}

// TestFaults injects the faults of production into real nodes on a real Redis, one after
// the other, and compares the log of every client with what was published. FAULT_TABLE
// names a file for the results.
func TestFaults(t *testing.T) {
	brokertest.RequireRedis(t)
	rows := make([]string, len(faults))
	t.Cleanup(func() { writeTable(t, rows) })
	for i, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if f.together {
				t.Parallel()
			}
			rows[i] = f.try(t)
		})
	}
}

// try runs the fault and returns the row of the table.
func (f *fault) try(t *testing.T) string {
	tr := f.stage(t)
	if f.load == nil {
		f.load = (*trial).load
	}
	f.load(tr)
	tr.forgetCalls()
	began := time.Now()
	f.strike(tr)
	tr.isReady()
	tr.finish()
	return f.judge(tr, time.Since(began))
}

// readsLast is how long a node keeps what it has read from a history. On a busy machine a
// client may resume later than that, which costs another read.
const readsLast = 30 * time.Second

// judge compares the logs with the promises, and the number of range reads in Redis with its
// limit, for a trial of the given duration. It returns the row of the table.
func (f *fault) judge(tr *trial, took time.Duration) string {
	kept, live, raw := tr.judge(f.kept, withHistory), tr.judge(f.live, withoutHistory), tr.judge(told, isRaw)
	subscribes, reads := tr.asked("subscribe")+tr.asked("ssubscribe"), tr.asked("xrange")
	most := (f.reads + int(took/readsLast)) * len(tr.streams) * len(tr.nodes)
	if f.reads > 0 && reads > most {
		tr.t.Errorf("Redis was asked for %d ranges in %v, want at most %d", reads, took, most)
	}
	what := strings.Join(append([]string{f.name}, tr.remarks...), ". ")
	row := fmt.Sprintf("| %s | %v | %v | %v | %d SUBSCRIBE, %d range reads |", what, kept, live, raw, subscribes, reads)
	tr.t.Log(row)
	return row
}

const tableHead = `| fault | clients with history | clients without history | raw connections | Redis commands |
|---|---|---|---|---|
`

func writeTable(t *testing.T, rows []string) {
	if path := os.Getenv("FAULT_TABLE"); path != "" {
		put(t, path, tableHead+strings.Join(rows, "\n")+"\n")
	}
}

func twoNodes(t *testing.T) *trial { return onRedis(t) }

// twoNodesOnDisk returns two nodes on a Redis that writes to disk before it confirms.
func twoNodesOnDisk(t *testing.T) *trial {
	return onRedis(t, "--appendonly", "yes", "--appendfsync", "always")
}

func onRedis(t *testing.T, args ...string) *trial {
	server := brokertest.StartRedis(t, args...)
	return newTrial(t, []*brokertest.RedisServer{server}, server.URL(), server.URL())
}

func killNode(tr *trial) {
	tr.nodes[0].signal(syscall.SIGKILL)
	tr.nodes[0].wait()
	tr.nodes = tr.nodes[1:]
}

func restartRedis(tr *trial) {
	tr.redis[0].Stop()
	tr.noticesOutage(tr.nodes[0])
	tr.redis[0].Start()
}

func pauseRedis(tr *trial) {
	tr.redis[0].Pause()
	began := time.Now()
	tr.noticesOutage(tr.nodes[0])
	tr.lasts(8*time.Second - time.Since(began))
	tr.redis[0].Resume()
}

func flushRedis(tr *trial) { tr.redis[0].Flush() }

func killSubscribers(tr *trial) { tr.redis[0].CLI("CLIENT", "KILL", "TYPE", "pubsub") }

// loseMessages appends to the histories of two channels without publishing: one whose
// stream goes on, and one that is quiet until the loss is found.
func loseMessages(tr *trial) {
	busy, quiet := tr.streams[0], tr.streams[1]
	busy.turn.Lock()
	tr.appendInSilence(busy)
	busy.turn.Unlock()

	quiet.turn.Lock()
	defer quiet.turn.Unlock()
	tr.appendInSilence(quiet)
	tr.allHave(quiet)
}

// appendInSilence runs the append script with a command that does nothing instead of PUBLISH.
func (tr *trial) appendInSilence(s *stream) { tr.appendBy("EXISTS", s) }

func (tr *trial) appendBy(publish string, s *stream) {
	name := "tidegate:" + s.channel
	tr.redis[0].CLI("EVAL", broker.AppendScript, "2", name, name+" meta",
		fmt.Sprint(s.last.Add(1)), "10000", "0", "{}", publish)
}

func oneNodeOnAWay(t *testing.T) *trial {
	server := brokertest.StartRedis(t)
	way := brokertest.LayWay(t, server.Addr)
	tr := newTrial(t, []*brokertest.RedisServer{server}, "redis://"+way.Addr, server.URL())
	tr.way = way
	return tr
}

// interrupt returns a function that affects the proxy of the first node.
func interrupt(by func(*brokertest.Way)) func(*trial) {
	return func(tr *trial) {
		by(tr.way)
		began := time.Now()
		tr.noticesOutage(tr.nodes[0])
		tr.lasts(5*time.Second - time.Since(began))
		tr.way.Mend()
	}
}

func onSentinel(t *testing.T) *trial {
	s := brokertest.StartRedisSentinel(t)
	tr := newTrial(t, s.Servers[:], s.URL(), s.URL())
	tr.sentinel = s
	return tr
}

func failOver(tr *trial) {
	old := tr.sentinel.Master()
	old.Stop()
	brokertest.Eventually(tr.t, "the failover", func() bool { return tr.sentinel.Master() != old })
}

func onCluster(t *testing.T) *trial {
	c := brokertest.StartRedisCluster(t)
	tr := newTrial(t, c.Nodes, c.URL(), c.URL())
	tr.cluster = c
	return tr
}

// moveSlot moves slots between masters, while the nodes believe that nothing was lost.
func moveSlot(tr *trial) {
	tr.cluster.AwaitAge(10 * time.Second)
	name, err := broker.NewRedis(broker.RedisConfig{URL: tr.cluster.URL()})
	must(tr.t, err)
	tr.cluster.MoveSlot(name.RedisName(tr.streams[0].channel))
	tr.cluster.MoveSlot(name.RedisName(tr.streams[keptChannels].channel))
}
