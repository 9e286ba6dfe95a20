package main

import (
	"bufio"
	"context"
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
	"time"

	"tidegate/broker/brokertest"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"
)

// TestCluster_EveryClientOnOneChannel tests the main purpose of the gateway. Two nodes
// behind HAProxy on one Redis carry a chat between two browsers, a Python client, a raw
// WebSocket and redis-cli; each receives the messages of all others. Then one node is
// killed, and its clients reconnect to the other.
func TestCluster_EveryClientOnOneChannel(t *testing.T) {
	brokertest.RequireRedis(t)
	redisServer := brokertest.StartRedis(t)
	nodes := []*process{
		startReady(t, []string{"TIDEGATE_REDIS_URL=" + redisServer.URL()}, "--compression-enabled", "--compression-min-bytes=1"),
		startReady(t, []string{"TIDEGATE_REDIS_URL=" + redisServer.URL()}),
	}
	balancer := startBalancer(t, nodes)

	chat := []talker{
		newBrowserTalker(t, balancer),
		newBrowserTalker(t, balancer),
		newPythonTalker(t, balancer),
		newRawTalker(t, balancer),
		newRedisTalker(t, redisServer.Addr, "chat:lobby"),
	}
	allHearAll(t, chat, "before")
	for i, n := range nodes {
		if sessionsOf(t, n) == 0 {
			t.Errorf("node %d has no session: HAProxy has not spread them", i)
		}
	}

	nodes[0].signal(syscall.SIGKILL)
	nodes[0].wait()
	for _, one := range chat {
		one.isBack()
	}
	allHearAll(t, chat, "after")
}

// talker is a participant of the chat.
type talker interface {
	say(text string)
	hears(text string) // blocks until it has received text, or fails the test
	isBack()           // blocks until it is connected to a live node
}

func allHearAll(t *testing.T, chat []talker, when string) {
	t.Helper()
	for i, speaker := range chat {
		text := fmt.Sprintf("%s-%d-%T", when, i, speaker)
		speaker.say(text)
		for _, listener := range chat {
			listener.hears(text)
		}
	}
}

func sessionsOf(t *testing.T, n *process) (open int) {
	t.Helper()
	_, text := get(t, n.internal("/metrics"))
	for line := range strings.Lines(text) {
		var count int
		if strings.HasPrefix(line, "tidegate_sessions{") {
			_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &count)
			open += count
		}
	}
	return open
}

// startBalancer runs HAProxy with the project's own configuration, apart from addresses,
// and returns its address.
func startBalancer(t *testing.T, nodes []*process) string {
	t.Helper()
	shipped, err := os.ReadFile("../../deploy/haproxy/haproxy.cfg")
	must(t, err)
	var servers strings.Builder
	for i, n := range nodes {
		fmt.Fprintf(&servers, "    server node-%d %s\n", i, strings.TrimPrefix(n.public(""), "http://"))
	}
	socket := listenFor(t)
	config := strings.Replace(string(shipped), "bind :8080", "bind fd@3", 1)
	config = strings.Replace(config, "bind :8404", "bind fd@4", 1)
	config = changeLine(config, "    server-template ", servers.String())
	config = changeLine(config, "    fd-hard-limit ", "    fd-hard-limit 1000\n")
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	command := exec.Command(brokertest.FindProgram(t, "haproxy"), "-db", "-f", file)
	command.ExtraFiles = []*os.File{socket, listenFor(t)} // descriptors 3 and 4
	runBeside(t, command)
	address := socketAddress(t, socket)
	eventually(t, "http://"+address+"/readyz", http.StatusOK)
	return address
}

func listenFor(t *testing.T) *os.File {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	must(t, err)
	t.Cleanup(func() { socket.Close() })
	return socket
}

func socketAddress(t *testing.T, socket *os.File) string {
	t.Helper()
	listener, err := net.FileListener(socket)
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func changeLine(text, begins, by string) string {
	before, rest, _ := strings.Cut(text, begins)
	_, after, _ := strings.Cut(rest, "\n")
	return before + by + after
}

// runBeside runs a program until the test ends.
func runBeside(t *testing.T, command *exec.Cmd) {
	t.Helper()
	var said strings.Builder
	if command.Stderr == nil {
		command.Stderr = &said
	}
	must(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended already
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s: %s", command.Path, said.String())
		}
	})
}

// chatLog is what a talker has received.
type chatLog struct {
	t    *testing.T
	who  string
	mu   sync.Mutex
	text strings.Builder
	news chan struct{} // closed and replaced when there is more
}

func newChatLog(t *testing.T, who string) *chatLog {
	return &chatLog{t: t, who: who, news: make(chan struct{})}
}

func (l *chatLog) add(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(text + "\n")
	close(l.news)
	l.news = make(chan struct{})
}

func (l *chatLog) count(text string) (times int, news <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text), l.news
}

func (l *chatLog) hears(text string) { l.hearsTimes(text, 1) }

func (l *chatLog) hearsTimes(text string, times int) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		heard, news := l.count(text)
		if heard >= times {
			return
		}
		select {
		case <-news:
		case <-deadline:
			l.t.Fatalf("%s has not heard %q; it heard:\n%s", l.who, text, l.text.String())
		}
	}
}

// browserTalker uses the console's chat in its own Chromium.
type browserTalker struct {
	t   *testing.T
	tab context.Context
}

func newBrowserTalker(t *testing.T, balancer string) *browserTalker {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(brokertest.FindProgram(t, "chromium", "chromium-browser", "google-chrome")),
		chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(patience),
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	tab, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		defer end()
		_ = chromedp.Cancel(tab) // the browser ends with its allocator
	})
	b := &browserTalker{t: t, tab: tab}
	if _, err := chromedp.Run(tab, chromedp.Navigate("http://"+balancer+"/#examples/chat")); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	b.isBack()
	return b
}

func (b *browserTalker) say(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	b.evaluate(`(() => { const f = document.querySelector(".say input"); f.value = ` + string(quoted) + `; f.form.requestSubmit(); return true })()`)
}

func (b *browserTalker) hears(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	b.until(`document.querySelector(".talk")?.innerText.includes(` + string(quoted) + `) ?? false`)
}

func (b *browserTalker) isBack() {
	b.t.Helper()
	b.until(`document.querySelector(".pulse")?.dataset.state === "connected" && document.querySelector(".talk") !== null`)
}

func (b *browserTalker) until(expression string) {
	b.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !b.evaluate(expression) {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("the browser waited in vain for %s", expression)
		}
	}
}

func (b *browserTalker) evaluate(expression string) bool {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// pythonTalker runs testdata/chat.py.
type pythonTalker struct {
	*chatLog
	stdin io.Writer
}

func newPythonTalker(t *testing.T, balancer string) *pythonTalker {
	t.Helper()
	python := brokertest.FindProgram(t, "/usr/bin/python3", "python3")
	if err := exec.Command(python, "-c", "import websocket").Run(); err != nil {
		python = brokertest.FindProgram(t, "a python3 with websocket-client")
	}
	command := exec.Command(python, "testdata/chat.py", "ws://"+balancer+"/ws")
	stdin, err := command.StdinPipe()
	must(t, err)
	stdout, err := command.StdoutPipe()
	must(t, err)
	p := &pythonTalker{chatLog: newChatLog(t, "python"), stdin: stdin}
	runBeside(t, command)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.add(lines.Text())
		}
	}()
	p.hears("ready")
	return p
}

func (p *pythonTalker) say(text string) { fmt.Fprintln(p.stdin, text) }

func (p *pythonTalker) isBack() { awaitEcho(p.chatLog, p.say) }

// awaitEcho repeats a message until it is received, because a client that has not
// reconnected yet cannot send it.
func awaitEcho(l *chatLog, say func(string)) {
	l.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	text := "is anybody there: " + l.who
	before, _ := l.count(text)
	for {
		say(text)
		select {
		case <-tick.C:
		case <-deadline:
			l.t.Fatalf("%s did not come back", l.who)
		}
		if times, _ := l.count(text); times > before {
			return
		}
	}
}

// rawTalker uses a WebSocket without an envelope.
type rawTalker struct {
	*chatLog
	mu   sync.Mutex
	conn *websocket.Conn
}

func newRawTalker(t *testing.T, balancer string) *rawTalker {
	t.Helper()
	r := &rawTalker{chatLog: newChatLog(t, "raw")}
	ctx, cancel := context.WithCancel(context.Background())
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for ctx.Err() == nil {
			r.listen(ctx, "ws://"+balancer+"/raw/chat:lobby")
		}
	}()
	t.Cleanup(func() { cancel(); <-listening })
	r.isBack()
	return r
}

func (r *rawTalker) listen(ctx context.Context, url string) {
	dialing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, url, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	r.mu.Lock()
	r.conn = conn
	r.mu.Unlock()
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return
		}
		r.add(string(frame))
	}
}

func (r *rawTalker) say(text string) {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	data, _ := json.Marshal(map[string]string{"name": "raw", "text": text})
	_ = conn.Write(ctx, websocket.MessageText, data) // if it fails, the caller repeats it until it gets an echo
}

func (r *rawTalker) isBack() { awaitEcho(r.chatLog, r.say) }

// redisTalker does what redis-cli does: SUBSCRIBE and PUBLISH, without a gateway.
type redisTalker struct {
	*chatLog
	client  *redis.Client
	channel string
}

func newRedisTalker(t *testing.T, address, channel string) *redisTalker {
	t.Helper()
	r := &redisTalker{newChatLog(t, "redis"), redis.NewClient(&redis.Options{Addr: address}), "tidegate:" + channel}
	subscription := r.client.Subscribe(context.Background(), r.channel)
	_, err := subscription.Receive(context.Background())
	must(t, err)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			message, err := subscription.ReceiveMessage(context.Background())
			if err != nil {
				return
			}
			r.add(message.Payload)
		}
	}()
	t.Cleanup(func() { subscription.Close(); <-listening; r.client.Close() })
	return r
}

func (r *redisTalker) say(text string) {
	r.t.Helper()
	data, _ := json.Marshal(map[string]string{"name": "redis", "text": text})
	must(r.t, r.client.Publish(context.Background(), r.channel, data).Err())
}

func (r *redisTalker) isBack() {}
