package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// mishap is a fault that can occur while another one lasts.
type mishap struct {
	name        string
	least, most time.Duration // duration; 0 if it is over at once
	breaks      bool          // connections to Redis or clients may end, so that channels without history may report a gap

	// begin causes it, on a node or on the node's proxies to Redis if it concerns a node,
	// and returns how to end it. An error means that it cannot occur at present.
	begin func(s *storm, node int) (end func() error, err error)
}

// Faults of nodes and their proxies to Redis.
var (
	nodeIsKilled  = &mishap{"SIGKILL a node", time.Second / 2, 2 * time.Second, true, killAndReplace}
	nodeStands    = &mishap{"SIGSTOP a node", time.Second, 7 * time.Second, true, stopNode}
	nodeDrains    = &mishap{"SIGTERM a node", time.Second / 2, 2 * time.Second, true, drainNode}
	linkIsCut     = &mishap{"cut a link", time.Second / 2, 4 * time.Second, true, onWays((*brokertest.Way).Break)}
	linkIsBlack   = &mishap{"make a link a black hole", time.Second, 7 * time.Second, true, onWays((*brokertest.Way).BlockBoth)}
	linkIsOneWay  = &mishap{"drop a link's traffic towards Redis", time.Second, 7 * time.Second, true, onWays((*brokertest.Way).Block)}
	linkIsSlow    = &mishap{"slow a link down", time.Second, 4 * time.Second, false, onWays(slow)}
	nodeMishaps   = []*mishap{nodeIsKilled, nodeStands, nodeDrains, linkIsCut, linkIsBlack, linkIsOneWay, linkIsSlow}
	weightyOfThem = []*mishap{nodeIsKilled, nodeStands, linkIsCut, linkIsBlack, linkIsOneWay, linkIsSlow}
)

func slow(w *brokertest.Way) { w.Slow(200 * time.Millisecond) }

func killAndReplace(s *storm, node int) (func() error, error) { return s.end(node, syscall.SIGKILL) }

func drainNode(s *storm, node int) (func() error, error) { return s.end(node, syscall.SIGTERM) }

// end ends a node. When the mishap ends, a new node replaces it.
func (s *storm) end(node int, by syscall.Signal) (func() error, error) {
	if s.isAbsent(node) {
		return nil, errAbsent
	}
	s.absences[node].Add(1)
	s.nodes[node].signal(by)
	return func() error {
		s.nodes[node].wait()
		s.nodes[node] = s.newNode(s.urls[node], "--listen", s.addresses[node])
		s.absences[node].Add(1)
		return nil
	}, nil
}

func stopNode(s *storm, node int) (func() error, error) {
	if s.isAbsent(node) {
		return nil, errAbsent
	}
	s.absences[node].Add(1)
	s.nodes[node].signal(syscall.SIGSTOP)
	return func() error {
		s.nodes[node].signal(syscall.SIGCONT)
		s.absences[node].Add(1)
		return nil
	}, nil
}

func (s *storm) isAbsent(node int) bool { return s.absences[node].Load()%2 == 1 }

var errAbsent = errors.New("the node is not there")

// onWays calls what for all proxies of a node.
func onWays(what func(*brokertest.Way)) func(*storm, int) (func() error, error) {
	return func(s *storm, node int) (func() error, error) {
		for _, w := range s.ways[node] {
			what(w)
		}
		return func() error {
			for _, w := range s.ways[node] {
				w.Mend()
			}
			return nil
		}, nil
	}
}

// Faults of any Redis master.
var (
	redisIsFull     = &mishap{"reach maxmemory", time.Second, 3 * time.Second, false, fillRedis}
	redisIsFlushed  = &mishap{"FLUSHALL", 0, 0, false, onMaster(0, "FLUSHALL")}
	subscribersDie  = &mishap{"CLIENT KILL TYPE pubsub", 0, 0, true, onMaster(0, "CLIENT", "KILL", "TYPE", "pubsub")}
	historyIsLost   = &mishap{"evict a history", 0, 0, false, evictHistory}
	messageIsLost   = &mishap{"lose a message in transit", 0, 0, false, loseOne}
	masterMishaps   = []*mishap{redisIsFull, redisIsFlushed, subscribersDie, historyIsLost, messageIsLost}
	errNobodyLeads  = errors.New("there is no one master")
	errOthersFollow = errors.New("the servers are not yet what they were")
)

// onMaster runs a command on the master of the n-th stream's channel.
func onMaster(stream int, command ...string) func(*storm, int) (func() error, error) {
	return func(s *storm, _ int) (func() error, error) {
		_, err := s.tell(stream, command...)
		return nil, err
	}
}

// tell runs a command on the master of the n-th stream's channel and returns that server.
func (s *storm) tell(stream int, command ...string) (*brokertest.RedisServer, error) {
	master := s.master(s.streams[stream].channel)
	if master == nil {
		return nil, errNobodyLeads
	}
	_, err := master.Try(command...)
	return master, err
}

func fillRedis(s *storm, _ int) (func() error, error) {
	full, err := s.tell(0, "CONFIG", "SET", "maxmemory", "1")
	return func() error {
		_, err := full.Try("CONFIG", "SET", "maxmemory", "0")
		return err
	}, err
}

// evictHistory deletes the histories, as a Redis at its memory limit does.
func evictHistory(s *storm, _ int) (func() error, error) {
	name := s.redisName(s.streams[1].channel)
	_, err := s.tell(1, "DEL", name, name+" meta")
	return nil, err
}

// silentAppend is the append script without the publish.
var silentAppend = strings.Replace(broker.AppendScript, "\nredis.call(publish, name, payload)\n", "\n", 1)

// loseOne appends the next message to a history without publishing it, with the idempotency key
// that its publisher, an anonymous client, uses.
func loseOne(s *storm, _ int) (func() error, error) {
	st := s.streams[2]
	if !st.takeTurn(time.Second) {
		return nil, errors.New("its publisher is busy")
	}
	defer st.turn.Unlock()
	name, number := s.redisName(st.channel), int(st.last.Load())+1
	publish := "PUBLISH"
	if s.cluster != nil {
		publish = "SPUBLISH" // so that the script finds the era of the shard
	}
	_, err := s.tell(2, "EVAL", silentAppend, "3", name, name+" meta", name+" key anonymous "+keyOf(number),
		fmt.Sprint(number), "10000", "0", "{}", publish)
	return nil, err // its publisher publishes it again
}

// takeTurn locks turn, unless the publisher holds it for too long because it is waiting for Redis.
func (s *stream) takeTurn(within time.Duration) bool {
	taken, late := make(chan struct{}), make(chan struct{})
	go func() {
		s.turn.Lock()
		select {
		case taken <- struct{}{}:
		case <-late:
			s.turn.Unlock()
		}
	}()
	select {
	case <-taken:
		return true
	case <-time.After(within):
		close(late)
		return false
	}
}

// Faults of a standalone Redis.
var (
	redisStands    = &mishap{"SIGSTOP Redis", time.Second, 7 * time.Second, true, stopServer(masterOf)}
	redisRestarts  = &mishap{"restart Redis with its data", time.Second / 4, 2 * time.Second, true, killServer(masterOf, nil)}
	redisIsEmpty   = &mishap{"restart Redis without its data", time.Second / 4, 2 * time.Second, true, killServer(masterOf, forgetData)}
	redisIsReplica = &mishap{"demote Redis to a replica for 1 to 3 s", time.Second, 3 * time.Second, true, demote}
	onRedisAlone   = []*mishap{redisStands, redisRestarts, redisIsEmpty, redisIsReplica}
)

func demote(s *storm, _ int) (func() error, error) {
	master, err := s.tell(0, "REPLICAOF", "127.0.0.1", "1")
	return func() error {
		_, err := master.Try("REPLICAOF", "NO", "ONE")
		return err
	}, err
}

// Faults of a master with a replica, monitored by a Sentinel.
var (
	masterIsKilled   = &mishap{"kill and restart the master", time.Second / 2, 5 * time.Second, true, killServer(masterOf, nil)}
	masterStands     = &mishap{"SIGSTOP the master", time.Second, 5 * time.Second, true, stopServer(masterOf)}
	replicaStands    = &mishap{"SIGSTOP the replica", time.Second, 5 * time.Second, false, stopServer(replicaOf)}
	sentinelStands   = &mishap{"SIGSTOP the Sentinel", time.Second, 5 * time.Second, false, stopServer(sentinelOf)}
	masterIsReplaced = &mishap{"SENTINEL FAILOVER", 0, 0, true, askForFailover}
	onASentinel      = []*mishap{masterIsKilled, masterStands, replicaStands, sentinelStands, masterIsReplaced}
)

func askForFailover(s *storm, _ int) (func() error, error) {
	_, err := s.sentinel.Sentinel.Try("SENTINEL", "FAILOVER", "main")
	if err != nil && strings.Contains(err.Error(), "INPROG") {
		err = nil // that was intended
	}
	return nil, err
}

// Faults of a Cluster in which one master has a replica.
var (
	replicaTakesOver = &mishap{"CLUSTER FAILOVER", 0, 0, true, takeOver}
	loneMasterStands = &mishap{"SIGSTOP a master without a replica", time.Second, 5 * time.Second, true, stopServer(otherMasterOf)}
	loneMasterDies   = &mishap{"kill and restart a master without a replica", time.Second / 4, 3 * time.Second, true, killServer(otherMasterOf, nil)}
	slotMoves        = &mishap{"move a slot of a channel with history", 0, 0, true, moveSlotOf(1)}
	liveSlotMoves    = &mishap{"move a slot of a channel without history", 0, 0, true, moveSlotOf(keptChannels)}
	onACluster       = []*mishap{masterIsKilled, masterStands, replicaStands, replicaTakesOver, loneMasterStands, loneMasterDies, slotMoves, liveSlotMoves}
)

func takeOver(s *storm, _ int) (func() error, error) {
	replica := replicaOf(s)
	if replica == nil {
		return nil, errOthersFollow
	}
	_, err := replica.Try("CLUSTER", "FAILOVER")
	return nil, err
}

func moveSlotOf(stream int) func(*storm, int) (func() error, error) {
	return func(s *storm, _ int) (func() error, error) {
		return nil, s.cluster.TryMoveSlot(s.redisName(s.streams[stream].channel))
	}
}

// Servers that a fault affects; nil if there is none at present.
func masterOf(s *storm) *brokertest.RedisServer { return s.master(s.streams[0].channel) }

func sentinelOf(s *storm) *brokertest.RedisServer { return s.sentinel.Sentinel }

func replicaOf(s *storm) *brokertest.RedisServer {
	return only(s.redis, func(server *brokertest.RedisServer) bool {
		said, err := server.Try("INFO", "replication")
		return err == nil && strings.Contains(said, "role:slave") && strings.Contains(said, "master_link_status:up")
	})
}

func otherMasterOf(s *storm) *brokertest.RedisServer { return s.cluster.Nodes[1] }

func stopServer(which func(*storm) *brokertest.RedisServer) func(*storm, int) (func() error, error) {
	return func(s *storm, _ int) (func() error, error) {
		server := which(s)
		if server == nil || !server.Runs() {
			return nil, errNobodyLeads
		}
		server.Pause()
		return func() error {
			if server.Runs() {
				server.Resume()
			}
			return nil
		}, nil
	}
}

func killServer(which func(*storm) *brokertest.RedisServer, before func(*brokertest.RedisServer) error) func(*storm, int) (func() error, error) {
	return func(s *storm, _ int) (func() error, error) {
		server := which(s)
		if server == nil || !server.Runs() {
			return nil, errNobodyLeads
		}
		server.Stop()
		return func() error {
			if before != nil {
				if err := before(server); err != nil {
					return err
				}
			}
			server.Start()
			return nil
		}, nil
	}
}

func forgetData(server *brokertest.RedisServer) error {
	return os.RemoveAll(filepath.Join(server.Dir, "appendonlydir"))
}
