package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/client"
)

// trial is a cluster under a steady load into which faults are injected, and the witnesses
// whose logs are compared with what was published.
type trial struct {
	t         *testing.T
	program   string                    // the binary of new nodes; empty means this version
	rules     string                    // of the nodes
	redis     []*brokertest.RedisServer // all servers that the nodes may use
	nodes     []*process
	streams   []*stream
	witnesses []*witness
	remarks   []string // further observations, for the table

	// Set only in some trials.
	way      *brokertest.Way // of the first node
	sentinel *brokertest.RedisSentinel
	cluster  *brokertest.RedisCluster

	ctx        context.Context // ends with the trial
	end        context.CancelFunc
	publishing context.CancelFunc
	publishers sync.WaitGroup
	listeners  sync.WaitGroup
}

// stream publishes the numbers from 1 on to one channel.
type stream struct {
	channel string
	kept    bool          // the channel has history
	every   time.Duration // between two messages
	keyless bool          // without idempotency keys: an unconfirmed message is not retried
	turn    sync.Mutex    // held while a message is published
	last    atomic.Int64  // the last number that was confirmed or given up

	// Guarded by turn; by number.
	unsure    map[int]bool      // given up, and may come
	confirmed map[int]time.Time // by then
}

func newStream(channel string, kept bool, every time.Duration) *stream {
	return &stream{channel: channel, kept: kept, every: every, unsure: make(map[int]bool), confirmed: make(map[int]time.Time)}
}

// Load of each trial. Each channel has its own publisher.
const (
	publishEvery = 33 * time.Millisecond
	keptChannels = 3
	liveChannels = 2
)

// trialRules keep a history without a TTL, so that reading it takes one XRANGE.
const trialRules = `
channels:
  - {match: "kept:*", subscribe: anyone, publish: anyone, history: {size: 10000}}
  - {match: "live:*", subscribe: anyone, publish: anyone}
limits: {commands_per_second: 0}
drain: {window: 2s}
`

func newTrial(t *testing.T, servers []*brokertest.RedisServer, urls ...string) *trial {
	t.Helper()
	return newTrialWith(t, trialRules, servers, urls...)
}

func newTrialWith(t *testing.T, rules string, servers []*brokertest.RedisServer, urls ...string) *trial {
	t.Helper()
	tr := &trial{t: t, rules: rules, redis: servers}
	tr.begin(urls...)
	return tr
}

// begin starts a node for each Redis URL.
func (tr *trial) begin(urls ...string) {
	tr.t.Helper()
	tr.ctx, tr.end = context.WithCancel(context.Background())
	for _, url := range urls {
		tr.nodes = append(tr.nodes, tr.newNode(url, "--listen", brokertest.FreeAddress(tr.t)))
	}
	for _, n := range tr.nodes {
		eventually(tr.t, n.public("/readyz"), http.StatusOK)
	}
	tr.t.Cleanup(func() {
		tr.end()
		tr.publishers.Wait()
		tr.listeners.Wait()
	})
}

func (tr *trial) newNode(redisURL string, args ...string) *process {
	tr.t.Helper()
	program := cmp.Or(tr.program, os.Args[0])
	return startNodeOf(tr.t, program, []string{"TIDEGATE_REDIS_URL=" + redisURL}, append(args, "--config", tr.configuration())...)
}

func (tr *trial) configuration() (file string) {
	tr.t.Helper()
	return write(tr.t, "tidegate.yaml", tr.rules)
}

// load subscribes witnesses of each kind on every node, and then publishes through every
// node until it is stopped.
func (tr *trial) load() {
	tr.t.Helper()
	tr.addStreams()
	for i := range tr.nodes {
		by := tr.reaching(i)
		for _, s := range tr.streams {
			tr.listen(s, "http://gateway", by)
		}
	}
	tr.publish(tr.throughNative)
}

// throughNative returns a client that publishes through the i-th node.
func (tr *trial) throughNative(i int) *client.Client {
	return newNativeClient("http://gateway", tr.reaching(i))
}

func (tr *trial) addStreams() {
	for i := range keptChannels {
		tr.streams = append(tr.streams, newStream(fmt.Sprintf("kept:%d", i), true, publishEvery))
	}
	for i := range liveChannels {
		tr.streams = append(tr.streams, newStream(fmt.Sprintf("live:%d", i), false, publishEvery))
	}
}

// listen adds a witness of each kind, but no long-poll on a channel without history: it
// misses messages between two polls, and each answer says so.
func (tr *trial) listen(s *stream, base string, by *http.Client) {
	kinds := []string{"native", "native", "raw", "sse"}
	if s.kept {
		kinds = append(kinds, "poll")
	}
	for _, kind := range kinds {
		tr.witness(newWitness(kind, s, base, by))
	}
}

func (tr *trial) awaitWitnesses() {
	tr.t.Helper()
	for _, w := range tr.witnesses {
		select {
		case <-w.ready:
		case <-time.After(patience):
			tr.t.Fatalf("%v does not listen", w)
		}
	}
}

func (tr *trial) startPublishing() (publishing context.Context) {
	publishing, tr.publishing = context.WithCancel(tr.ctx)
	return publishing
}

// publish starts all streams once every witness is subscribed.
func (tr *trial) publish(through func(i int) *client.Client) {
	tr.t.Helper()
	tr.awaitWitnesses()
	publishing := tr.startPublishing()
	for i, s := range tr.streams {
		c := through(i)
		tr.listeners.Go(func() { _ = c.Run(tr.ctx) })
		tr.publishers.Go(func() { s.publish(tr.ctx, publishing, c) })
	}
	tr.flows(20)
}

func (tr *trial) witness(w *witness) {
	tr.witnesses = append(tr.witnesses, w)
	tr.listeners.Go(func() { w.listen(tr.ctx) })
}

// reaching returns a client that connects to the i-th node, or to the next one that
// accepts connections.
func (tr *trial) reaching(i int) *http.Client { return reachingAny(addressesOf(tr.nodes), i) }

func addressesOf(nodes []*process) (list []string) {
	for _, n := range nodes {
		list = append(list, strings.TrimPrefix(n.public(""), "http://"))
	}
	return list
}

// reachingAny returns a client that connects to the i-th address, or to the next one that
// accepts connections.
func reachingAny(addresses []string, i int) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			for k := range addresses {
				if conn, err = new(net.Dialer).DialContext(ctx, network, addresses[(i+k)%len(addresses)]); err == nil {
					return conn, nil
				}
			}
			return nil, err
		},
	}
	return &http.Client{Transport: transport}
}

// publish publishes one number after the other, each until it is confirmed.
func (s *stream) publish(ctx, publishing context.Context, c *client.Client) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for publishing.Err() == nil {
		if err := s.publishNext(ctx, c); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-publishing.Done():
		}
	}
}

func (s *stream) publishNext(ctx context.Context, c *client.Client) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	n := s.last.Load() + 1
	m := client.Message{Channel: s.channel, Payload: strconv.AppendInt(nil, n, 10)}
	if _, err := c.Publish(ctx, m); err != nil {
		return err
	}
	s.confirmed[int(n)] = time.Now()
	s.last.Store(n)
	return nil
}

// flows blocks until each stream has published n more messages and its witnesses
// have received them.
func (tr *trial) flows(n int) {
	tr.t.Helper()
	for _, s := range tr.streams {
		goal := int(s.last.Load()) + n
		for _, w := range tr.witnesses {
			if w.channel == s.channel {
				w.waitFor(tr.t, goal)
			}
		}
	}
}

// finish ends the load and blocks until every witness has received the last message.
func (tr *trial) finish() {
	tr.t.Helper()
	tr.flows(20)
	tr.publishing()
	tr.publishers.Wait()
	for _, s := range tr.streams {
		tr.allHave(s)
	}
}

// allHave blocks until every witness of a channel has received its last message.
func (tr *trial) allHave(s *stream) {
	tr.t.Helper()
	for _, w := range tr.witnesses {
		if w.channel == s.channel {
			w.waitFor(tr.t, int(s.last.Load()))
		}
	}
}

// promise is what the witnesses of a channel may expect.
type promise int

const (
	whole promise = iota // each message once and in order, and no gap
	once                 // the same, but gaps may be reported
	told                 // no loss without notice
)

// outcome is the combined result of several logs.
type outcome struct {
	witnesses int
	lost      int // messages that should have reached a witness and did not
	told      map[string]int
}

// judge compares the logs of some witnesses with the promise.
func (tr *trial) judge(p promise, whose func(*witness, *stream) bool) outcome {
	tr.t.Helper()
	o := outcome{told: make(map[string]int)}
	for _, s := range tr.streams {
		for _, w := range tr.witnesses {
			if w.channel != s.channel || !whose(w, s) {
				continue
			}
			found := w.judge(s, p)
			if found.wrong != "" {
				tr.t.Errorf("%v: %s", w, found.wrong)
			}
			o.witnesses++
			o.lost += found.lost
			for how, times := range found.told {
				o.told[w.kind+": "+how] += times
			}
		}
	}
	return o
}

// A raw connection has no cursor, so its end is a gap for the client, even on a
// channel with history.
func isRaw(w *witness, _ *stream) bool          { return w.kind == "raw" }
func withHistory(w *witness, s *stream) bool    { return w.kind != "raw" && s.kept }
func withoutHistory(w *witness, s *stream) bool { return w.kind != "raw" && !s.kept }

func (o outcome) String() string {
	if o.witnesses == 0 {
		return "–"
	}
	saw := []string{"unaffected"}
	for i, how := range slices.Sorted(maps.Keys(o.told)) {
		saw = append(saw[:i], fmt.Sprintf("%s ×%d", how, o.told[how]))
	}
	return fmt.Sprintf("%d lost; %s", o.lost, strings.Join(saw, ", "))
}

// forgetCalls resets the counters of Redis.
func (tr *trial) forgetCalls() {
	tr.t.Helper()
	for _, server := range tr.redis {
		server.CLI("CONFIG", "RESETSTAT")
	}
}

// asked returns how often Redis has run a command, on the servers that answer.
func (tr *trial) asked(command string) (calls int) {
	tr.t.Helper()
	pattern := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`)
	for _, server := range tr.redis {
		if !answers(server) {
			continue
		}
		if found := pattern.FindStringSubmatch(server.CLI("INFO", "commandstats")); found != nil {
			n, _ := strconv.Atoi(found[1])
			calls += n
		}
	}
	return calls
}

func answers(server *brokertest.RedisServer) bool {
	conn, err := net.DialTimeout("tcp", server.Addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// noticesOutage checks what a node promises while it cannot reach Redis: publishes fail at
// once, and the node is not ready.
func (tr *trial) noticesOutage(n *process) {
	tr.t.Helper()
	began := time.Now()
	status, body, err := tr.post(n)
	took := time.Since(began)
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "unavailable") || took > slowestAnswer {
		tr.t.Errorf("publish without Redis: %d %s %v after %v", status, body, err, took)
	}
	eventually(tr.t, n.public("/readyz"), http.StatusServiceUnavailable)
	tr.remarks = append(tr.remarks, fmt.Sprintf("Publishes: `unavailable` in %.1f s, `/readyz` 503", took.Seconds()))
}

// slowestAnswer corresponds to one second on an idle machine.
const slowestAnswer = 3 * time.Second

func (tr *trial) post(n *process) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(tr.ctx, patience)
	defer cancel()
	url := n.public("/api/channels/live:probe/messages")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		return 0, "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// isReady blocks until every node takes traffic.
func (tr *trial) isReady() {
	tr.t.Helper()
	for _, n := range tr.nodes {
		eventually(tr.t, n.public("/readyz"), http.StatusOK)
	}
}

// lasts waits for the duration of an outage.
func (tr *trial) lasts(d time.Duration) { wait(tr.ctx, d) }
