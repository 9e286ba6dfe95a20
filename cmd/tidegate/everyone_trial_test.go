package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tidegate/broker/brokertest"
)

const everyoneRules = pusherApp + `
channels:
  - {match: "kept:*", subscribe: anyone, publish: anyone, history: {size: 10000}}
  - {match: "live*", subscribe: anyone, publish: anyone}
limits: {commands_per_second: 0}
drain: {window: 2s}
`

// everyoneFaults are injected into nodes with clients of all kinds. The first always runs, the
// others with FAULT_EVERYONE=all.
var everyoneFaults = []fault{
	{name: "SIGKILL one of two nodes", stage: everyoneOnRedis, strike: killNode},
	{name: "SIGTERM one of two nodes", stage: everyoneOnRedis, strike: drainFirst},
	{name: "restart Redis with its data", stage: everyoneOnDisk, strike: restartRedis, kept: once},
	{name: "restart Redis without its data", stage: everyoneOnRedis, strike: restartRedis, kept: told},
	{name: "CLIENT KILL TYPE pubsub", stage: everyoneOnRedis, strike: killSubscribers},
	{name: "cut one node's link to Redis for 5 s", stage: everyoneOnAWay, strike: interrupt((*brokertest.Way).Break)},
	{name: "make one node's link a black hole for 5 s", stage: everyoneOnAWay, strike: interrupt((*brokertest.Way).BlockBoth)},
}

// TestEveryone_LosesNothingInSilence connects all kinds of clients, including the official
// ones of Centrifuge and Pusher, to two nodes and injects a fault. A client that can resume
// gets each message once and in order; any other is told that it may have missed messages.
func TestEveryone_LosesNothingInSilence(t *testing.T) {
	brokertest.RequireRedis(t)
	faults := everyoneFaults
	if os.Getenv("FAULT_EVERYONE") != "all" {
		faults = faults[:1]
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.load, f.live = loadEveryone, told
			f.try(t)
		})
	}
}

// drainFirst makes a node disconnect its clients.
func drainFirst(tr *trial) {
	tr.nodes[0].signal(syscall.SIGTERM)
	tr.nodes[0].wait()
	tr.nodes = tr.nodes[1:]
}

func everyoneOnRedis(t *testing.T) *trial { return everyoneOn(t) }

func everyoneOnDisk(t *testing.T) *trial {
	return everyoneOn(t, "--appendonly", "yes", "--appendfsync", "always")
}

func everyoneOn(t *testing.T, args ...string) *trial {
	server := brokertest.StartRedis(t, args...)
	return newTrialWith(t, everyoneRules, []*brokertest.RedisServer{server}, server.URL(), server.URL())
}

func everyoneOnAWay(t *testing.T) *trial {
	server := brokertest.StartRedis(t)
	way := brokertest.LayWay(t, server.Addr)
	tr := newTrialWith(t, everyoneRules, []*brokertest.RedisServer{server}, "redis://"+way.Addr, server.URL())
	tr.way = way
	return tr
}

func loadEveryone(tr *trial) {
	kept, live := newStream("kept:everyone", true, publishEvery), newStream("live-everyone", false, publishEvery)
	tr.streams = []*stream{kept, live}
	var sdks []*sdkWitness
	for i := range tr.nodes {
		for _, s := range tr.streams {
			tr.listen(s, "http://gateway", tr.reaching(i))
			sdks = append(sdks, tr.newSDKWitnesses(s, i)...)
		}
	}
	tr.runSDKs(sdks)
	tr.publish(tr.throughNative)
}

// sdkWitness is an official client, in Node or in Go.
type sdkWitness struct {
	*witness
	Kind      string `json:"kind"`
	Transport string `json:"transport"`
	URL       string `json:"url"`
	Emulation string `json:"emulation"`
	Channel   string `json:"channel"`
}

// newSDKWitnesses returns one witness of each kind, which prefers the i-th node. Commands
// of a client on a stream go to another node, if there is one.
func (tr *trial) newSDKWitnesses(s *stream, i int) (list []*sdkWitness) {
	url, other := tr.forward(i), tr.forward(i+1)
	add := func(kind, transport string) {
		w := newWitness(strings.TrimSpace(kind+" "+transport), s, "", nil)
		tr.witnesses = append(tr.witnesses, w)
		list = append(list, &sdkWitness{w, kind, transport, url, other, s.channel})
	}
	for _, transport := range []string{"websocket", "http_stream", "sse"} {
		add("centrifuge", transport)
	}
	add("centrifuge protobuf", "websocket")
	add("centrifuge protobuf", "http_stream")
	add("centrifuge go", "")
	add("centrifuge go protobuf", "")
	if !s.kept {
		add("pusher", "")
	}
	return list
}

// forward returns the address of a proxy to the i-th node, or to the next one that
// accepts connections.
func (tr *trial) forward(i int) string {
	tr.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(tr.t, err)
	reach := tr.reaching(i).Transport.(*http.Transport).DialContext
	var ways sync.WaitGroup
	ways.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			ways.Go(func() {
				defer client.Close()
				node, err := reach(tr.ctx, "tcp", "")
				if err != nil {
					return
				}
				joinConns(client, node)
			})
		}
	})
	tr.t.Cleanup(func() { listener.Close(); ways.Wait() })
	return "http://" + listener.Addr().String()
}

// joinConns copies in both directions until one of them ends.
func joinConns(a, b net.Conn) {
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			way[0].Close()
			way[1].Close()
		})
	}
	copying.Wait()
}

// runSDKs runs the clients until the trial ends.
func (tr *trial) runSDKs(list []*sdkWitness) {
	tr.t.Helper()
	about, err := json.Marshal(list)
	if err != nil {
		tr.t.Fatal(err)
	}
	folder, witnesses := installEveryone(tr.t), "WITNESSES="+string(about)
	inNode := exec.Command(brokertest.FindProgram(tr.t, "node", "nodejs"), "witnesses.mjs")
	inNode.Dir = folder
	for _, command := range []*exec.Cmd{inNode, exec.Command(buildWithGoSDK(tr.t, filepath.Join(folder, "gosdk")))} {
		lines := readOutput(tr.t, command, witnesses)
		go func() {
			for lines.Scan() {
				var i int
				number, text, _ := strings.Cut(lines.Text(), " ")
				if _, err := fmt.Sscan(number, &i); err != nil {
					continue
				}
				list[i].take(text)
			}
		}()
	}
}

// buildWithGoSDK builds the program in a folder with the official Go client and returns its path.
func buildWithGoSDK(t *testing.T, folder string) (program string) {
	t.Helper()
	build := exec.Command("bash", "-c", "go mod init application && go get github.com/centrifugal/centrifuge-go@v0.12.1 && go build -o application .")
	build.Dir, build.Env = folder, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with the Go SDK: %v\n%s", err, out)
	}
	return filepath.Join(folder, "application")
}

func (w *sdkWitness) take(text string) {
	if how, missed := strings.CutPrefix(text, "!"); missed {
		w.misses(how)
	} else if text == "ready" {
		w.listens()
	} else {
		w.hear(text)
	}
}

// installEveryone returns a folder with the official clients, from npm, and the
// scripts that use them.
func installEveryone(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "everyone")
	must(t, os.CopyFS(folder, os.DirFS("testdata/everyone")))
	install := exec.Command(brokertest.FindProgram(t, "npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir, install.Env = folder, append(os.Environ(), "npm_config_update_notifier=false")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	return folder
}

// readOutput runs a command until the test ends and returns its output.
func readOutput(t *testing.T, command *exec.Cmd, env ...string) *bufio.Scanner {
	t.Helper()
	command.Env = append(os.Environ(), env...)
	stdout, err := command.StdoutPipe()
	must(t, err)
	runBeside(t, command)
	return bufio.NewScanner(stdout)
}
