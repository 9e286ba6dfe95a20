package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidegate/broker/brokertest"

	"github.com/coder/websocket"
)

const (
	pusherApp   = "pusher: {apps: [{id: '1', key: key, secret: a secret}]}\n"
	pusherRoom  = "private-room"
	pusherRules = `
channels:
  - {match: "presence-*", subscribe: anyone, publish: anyone, presence: true, join_leave: true}
  - {match: "*", subscribe: anyone, publish: anyone}
auth: {api_keys: [{name: shop, key: ` + backendKey + `}]}
`
)

// startPusherNodes starts two nodes on one Redis.
func startPusherNodes(t *testing.T, config string) (nodes []*process, redisServer *brokertest.RedisServer) {
	t.Helper()
	brokertest.RequireRedis(t)
	redisServer = brokertest.StartRedis(t)
	for range 2 {
		file := write(t, "tidegate.yaml", config)
		nodes = append(nodes, startReady(t, []string{"TIDEGATE_REDIS_URL=" + redisServer.URL()}, "--config", file))
	}
	return nodes, redisServer
}

// One channel, every client: a message published through one of two nodes by any client is
// received by all others.
func TestPusher_SharesAChannelWithAllOtherClients(t *testing.T) {
	t.Parallel()
	nodes, redisServer := startPusherNodes(t, pusherApp+pusherRules)
	packages := officialPackages(t)
	chat := []talker{
		newPusherTalker(t, packages, nodes[0].host()),
		newPusherTalker(t, packages, nodes[1].host()),
		newNativeTalker(t, nodes[1]),
		newSSETalker(t, nodes[1]),
		newRedisTalker(t, redisServer.Addr, pusherRoom),
	}
	for i, speaker := range chat {
		text := fmt.Sprintf("text-%d", i)
		speaker.say(text)
		for j, listener := range chat {
			if _, isPusher := speaker.(*pusherTalker); i != j || !isPusher { // Pusher does not send a client its own messages
				listener.hears(text)
			}
		}
	}
}

// host returns the address of the public listener.
func (p *process) host() string { return strings.TrimPrefix(p.public(""), "http://") }

// officialPackages returns a folder with the official libraries, from npm.
func officialPackages(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "official")
	must(t, os.CopyFS(folder, os.DirFS("../../gateway/pusher/testdata/official")))
	install := exec.Command(brokertest.FindProgram(t, "npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir, install.Env = folder, append(os.Environ(), "npm_config_update_notifier=false")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	return folder
}

// pusherTalker runs pusher-js in Node.
type pusherTalker struct {
	*chatLog
	stdin io.Writer
}

func newPusherTalker(t *testing.T, packages, host string) *pusherTalker {
	t.Helper()
	command := exec.Command(brokertest.FindProgram(t, "node", "nodejs"), "talker.mjs")
	command.Dir = packages
	command.Env = append(os.Environ(), "GATEWAY="+host, "APP_ID=1", "APP_KEY=key", "APP_SECRET=a secret", "CHANNEL="+pusherRoom)
	stdin, err := command.StdinPipe()
	must(t, err)
	stdout, err := command.StdoutPipe()
	must(t, err)
	p := &pusherTalker{newChatLog(t, "pusher"), stdin}
	runBeside(t, command)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.add(lines.Text())
		}
	}()
	p.hears("ready")
	return p
}

func (p *pusherTalker) say(text string) { fmt.Fprintln(p.stdin, text) }
func (p *pusherTalker) isBack()         {}

// nativeTalker uses a WebSocket with the native protocol.
type nativeTalker struct {
	*chatLog
	conn *websocket.Conn
}

func newNativeTalker(t *testing.T, p *process) *nativeTalker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	conn, _, err := websocket.Dial(ctx, "ws://"+p.host()+"/ws", nil)
	must(t, err)
	n := &nativeTalker{newChatLog(t, "native"), conn}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			_, frame, err := conn.Read(ctx)
			if err != nil {
				return
			}
			n.add(string(frame))
		}
	}()
	t.Cleanup(func() { cancel(); <-listening; _ = conn.CloseNow() })
	n.write(`{"type":"subscribe","id":1,"channel":"` + pusherRoom + `"}`)
	n.hears(`"subscribed"`)
	return n
}

func (n *nativeTalker) write(frame string) {
	n.t.Helper()
	must(n.t, n.conn.Write(context.Background(), websocket.MessageText, []byte(frame)))
}

func (n *nativeTalker) say(text string) {
	n.write(`{"type":"publish","channel":"` + pusherRoom + `","event":"said","data":{"text":"` + text + `"}}`)
}

func (n *nativeTalker) isBack() {}

// sseTalker receives Server-Sent Events and publishes through the HTTP API.
type sseTalker struct {
	*chatLog
	process *process
}

func newSSETalker(t *testing.T, p *process) *sseTalker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.public("/events?channel="+pusherRoom), nil)
	must(t, err)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	s := &sseTalker{newChatLog(t, "SSE"), p}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			s.add(lines.Text())
		}
	}()
	t.Cleanup(func() { cancel(); <-listening; response.Body.Close() })
	awaitEcho(s.chatLog, s.say)
	return s
}

func (s *sseTalker) say(text string) {
	s.t.Helper()
	body, _ := json.Marshal(map[string]string{"text": text})
	request, err := http.NewRequest(http.MethodPost, s.process.public("/api/channels/"+pusherRoom+"/messages"), strings.NewReader(string(body)))
	must(s.t, err)
	request.Header.Set("Authorization", "Bearer "+backendKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	must(s.t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("publish: %s", response.Status)
	}
}

func (s *sseTalker) isBack() {}

// An app that is added on SIGHUP is served at once.
func TestPusher_AnAppIsAddedByReload(t *testing.T) {
	t.Parallel()
	file := write(t, "tidegate.yaml", openRules)
	p := startReady(t, nil, "--config", file)
	if code := closeCode(t, p, "key"); code != 4001 {
		t.Fatalf("without the app: closed with %d, want 4001", code)
	}
	put(t, file, openRules+pusherApp)
	p.signal(syscall.SIGHUP)
	p.waitFor("reloaded rules and keys")
	conn, _, err := websocket.Dial(t.Context(), "ws://"+p.host()+"/app/key?protocol=7", nil)
	must(t, err)
	defer conn.CloseNow()
	if _, frame, err := conn.Read(t.Context()); err != nil || !strings.Contains(string(frame), "pusher:connection_established") {
		t.Errorf("with the app: %s, %v", frame, err)
	}
}

func closeCode(t *testing.T, p *process, key string) websocket.StatusCode {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+p.host()+"/app/"+key+"?protocol=7", nil)
	must(t, err)
	defer conn.CloseNow()
	for {
		if _, _, err := conn.Read(t.Context()); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}
