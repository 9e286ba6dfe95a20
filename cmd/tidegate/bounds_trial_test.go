package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/cmd/tidegate/internal/config"
)

// attack is what one kind of client does with a connection until it is closed. Its
// error is ignored.
type attack func(*assailant) error

// attacks are different ways to make a node use much memory.
var attacks = map[string]attack{
	"a header that does not end":       (*assailant).headerWithoutEnd,
	"idle connections, long headers":   (*assailant).keepAlive,
	"bodies that come slowly":          (*assailant).slowBody,
	"batches of nothing":               (*assailant).emptyBatch,
	"batches of much":                  (*assailant).fullBatch,
	"batches of deep JSON":             (*assailant).deepBatch,
	"pipelined requests, never read":   (*assailant).pipelined,
	"histories, never read":            (*assailant).histories,
	"streams, never read":              (*assailant).deafStream,
	"long-polls":                       (*assailant).longPoll,
	"publishes with keys":              (*assailant).keys,
	"unfinished messages":              (*assailant).unfinished,
	"half a frame":                     (*assailant).halfAFrame,
	"subscribers that do not read":     (*assailant).deafSubscriber,
	takesAllPlaces:                     (*assailant).manyChannels,
	"publishers that do not read":      (*assailant).publisher,
	"raw publishers that do not read":  (*assailant).rawPublisher,
	"histories by WebSocket, unread":   (*assailant).historyCommands,
	"resuming again and again":         (*assailant).resumer,
	"compressed bombs":                 (*assailant).bomb,
	"connects that are reset":          (*assailant).reset,
	"commands that are nonsense, fast": (*assailant).nonsense,
}

const (
	ofEachKind   = 8               // concurrent clients
	attackLength = 6 * time.Second // with all of them
	trialMessage = 60_000          // bytes, a little less than limits.message_bytes
	trialBody    = 8 << 20         // the longest batch allowed
)

// The limits of the trial are so small that its clients would far exceed them.
const trialConfig = `
limits:
  sessions: 35
  subscriptions: 110
  connections: 60
  outbox_total_bytes: 8388608
  inbound_bytes: 2097152
compression: {enabled: true}
channels:
  - {match: "kept:*", subscribe: anyone, publish: anyone, presence: true, history: {size: 10, ttl: 10m}}
  - {match: "*", subscribe: anyone, publish: anyone, presence: true, join_leave: true}
`

const (
	trialHistories = 4 * 10 * trialMessage // of kept:0 to kept:3
	trialLinks     = 50                    // the most sockets that do not belong to clients
)

// TestBounds_ManyKindsOfClientsDoNotExceedTheSum runs all attacks at the same time on one
// node. Beyond its memory without clients, the node must not use more than the sum of the
// limits for clients.
func TestBounds_ManyKindsOfClientsDoNotExceedTheSum(t *testing.T) {
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	environ := []string{"TIDEGATE_REDIS_URL=" + redis.URL(), "GOGC=25"} // the sum, too, allows for a quarter of garbage
	file := write(t, "tidegate.yaml", trialConfig)
	node := startNodeOf(t, build(t), environ, "--config", file)
	eventually(t, node.public("/readyz"), http.StatusOK)
	settings, err := config.File(file, environ).Read()
	must(t, err)
	ofClients := boundOfClients(t, settings)
	idle := mostMemory(t, node.command.Process.Pid)
	mob := newMob(t, node)
	most := node.watch(attackLength)
	grown := mostMemory(t, node.command.Process.Pid) - idle
	mob.leave()
	t.Logf("beyond %s at most %s, the limits come to %s; at most %v", config.Size(idle), config.Size(grown), config.Size(ofClients), most)
	if grown > ofClients {
		t.Errorf("clients brought the node to have %s more, their limits come to %s", config.Size(grown), config.Size(ofClients))
	}
	for name, limit := range map[string]int{
		"tidegate_sessions":      settings.Limits.Sessions,
		"tidegate_subscriptions": settings.Limits.Subscriptions,
		"sockets":                settings.Connections.Most + settings.Limits.Sessions + trialLinks,
	} {
		if got := int(most[name]); got > limit {
			t.Errorf("%d %s, want %d at most", got, name, limit)
		}
	}
}

// boundOfClients returns the part of the sum that clients cause.
func boundOfClients(t *testing.T, settings *config.Config) int64 {
	t.Helper()
	memory := settings.Memory()
	if _, unbounded := memory.Process(); len(unbounded) > 0 {
		t.Fatalf("without a bound are %q", unbounded)
	}
	sum := int64(trialHistories)
	for _, part := range memory {
		if !part.Kernel && !slices.Contains([]string{"the program", "internal connections", "recent history", "rates of departed clients", "bans and revocations", "garbage"}, part.What) {
			sum += part.Bytes
		}
	}
	return sum + sum/4
}

// watch observes a node for some time and returns the maximum of each of its metrics.
func (p *process) watch(long time.Duration) map[string]float64 {
	p.t.Helper()
	most := make(map[string]float64)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(long); ; {
		select {
		case <-tick.C:
			most["sockets"] = max(most["sockets"], float64(p.sockets()))
			if _, text, err := tryGet(p.t.Context(), p.internal("/metrics")); err == nil { // it may be too busy at the moment
				for _, name := range []string{"tidegate_sessions", "tidegate_subscriptions", "tidegate_outbox_bytes"} {
					most[name] = max(most[name], metricIn(p.t, text, name))
				}
			}
		case <-end:
			return most
		}
	}
}

// sockets returns the number of sockets of a process.
func (p *process) sockets() (n int) {
	p.t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.command.Process.Pid))
	must(p.t, err)
	for _, link := range links {
		if is, err := os.Readlink(link); err == nil && strings.HasPrefix(is, "socket:") {
			n++
		}
	}
	return n
}

// mob is the clients of all kinds.
type mob struct {
	attacking sync.WaitGroup
	leave     func() // ends them
}

// takesAllPlaces is the kind that starts last, because it leaves no subscription for the others.
const takesAllPlaces = "subscribers to all that fits"

// newMob returns once all clients have started: first one of each kind, then the others.
func newMob(t *testing.T, node *process) *mob {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := &mob{leave: cancel}
	t.Cleanup(m.attacking.Wait)
	t.Cleanup(cancel)
	bring := func(do attack, number int) (begun chan struct{}) {
		begun = make(chan struct{})
		a := &assailant{address: strings.TrimPrefix(node.public(""), "http://"), number: number, hasBegun: sync.OnceFunc(func() { close(begun) })}
		m.attacking.Go(func() { a.persist(ctx, do) })
		return begun
	}
	first := make(map[string]chan struct{})
	await := func() {
		for name, begun := range first {
			select {
			case <-begun:
			case <-time.After(patience):
				t.Errorf("%s: has not begun", name)
			}
		}
	}
	for name, do := range attacks {
		if name != takesAllPlaces {
			first[name] = bring(do, 0)
		}
	}
	await()
	first = map[string]chan struct{}{takesAllPlaces: bring(attacks[takesAllPlaces], 0)}
	await()
	for _, do := range attacks {
		for number := range ofEachKind {
			bring(do, number)
		}
	}
	return m
}

// build returns the path of tidegate built without the race detector, which needs
// additional memory and which the tests may have been built with.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tidegate")
	if said, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, said)
	}
	return path
}

// mostMemory returns the largest resident size that a process has had, in bytes.
func mostMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	var kibibytes int64
	_, line, _ := strings.Cut(string(status), "\nVmHWM:")
	if _, err := fmt.Sscan(line, &kibibytes); err != nil {
		t.Fatal(err)
	}
	return kibibytes << 10
}

// assailant is one client of a kind.
type assailant struct {
	address  string
	number   int
	hasBegun func() // called when it has used a connection
	conn     net.Conn
}

// persist connects and attacks repeatedly until ctx ends.
func (a *assailant) persist(ctx context.Context, do attack) {
	for ctx.Err() == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
		if err != nil {
			continue
		}
		a.conn = conn
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		if err := do(a); err == nil {
			<-ctx.Done() // it is done and stays connected
		}
		stop()
		conn.Close()
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (a *assailant) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.conn, format, args...)
	if err == nil {
		a.hasBegun()
	}
	return err
}

// forever calls do until it fails.
func (a *assailant) forever(do func() error) error {
	for {
		if err := do(); err != nil {
			return err
		}
	}
}

// take reads until the connection ends.
func (a *assailant) take() error {
	if _, err := io.Copy(io.Discard, a.conn); err != nil {
		return err
	}
	return io.EOF
}

const manyBytes = 30_000

var longHeader = "X-Long: " + strings.Repeat("x", manyBytes) + "\r\n"

func (a *assailant) headerWithoutEnd() error {
	return a.say("GET /poll?channel=a HTTP/1.1\r\nHost: localhost\r\n%s", longHeader)
}

func (a *assailant) keepAlive() error {
	return a.say("GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n", longHeader)
}

func (a *assailant) post(path, contentType string, length int) error {
	return a.say("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, contentType, length)
}

func (a *assailant) slowBody() error {
	if err := a.post("/api/messages", "application/json", trialBody); err != nil {
		return err
	}
	_, err := io.WriteString(a.conn, `[{"channels":["a"],"text":"`+strings.Repeat("x", trialBody-1000))
	return err
}

// batch posts a body and reads the answer.
func (a *assailant) batch(body string) error {
	if err := a.post("/api/messages", "application/json", len(body)); err != nil {
		return err
	}
	if _, err := io.WriteString(a.conn, body); err != nil {
		return err
	}
	return a.take()
}

func (a *assailant) emptyBatch() error {
	return a.batch("[" + strings.Repeat("{},", trialBody/4) + "{}]")
}

func (a *assailant) fullBatch() error {
	item := `{"channels":["kept:1"],"text":"` + strings.Repeat("x", trialMessage) + `"}`
	return a.batch("[" + strings.Repeat(item+",", 100) + item + "]")
}

func (a *assailant) deepBatch() error {
	return a.batch(`[{"channels":["a"],"data":` + strings.Repeat("[", trialBody/2))
}

func (a *assailant) pipelined() error {
	return a.forever(func() error {
		return a.say("GET /console/tidegate.js HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	})
}

func (a *assailant) histories() error {
	return a.forever(func() error {
		return a.say("GET /api/channels/kept:%d/messages?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n", a.number%4)
	})
}

func (a *assailant) deafStream() error {
	return a.say("GET /events?channel=kept:1&channel=busy&channel=kept:2 HTTP/1.1\r\nHost: localhost\r\n%s\r\n", longHeader)
}

func (a *assailant) longPoll() error {
	return a.forever(func() error {
		return a.say("GET /poll?channel=kept:1&channel=busy&cursor=&cursor= HTTP/1.1\r\nHost: localhost\r\n\r\n")
	})
}

func (a *assailant) keys() error {
	n := 0
	return a.forever(func() error {
		n++
		return a.say("POST /api/channels/kept:1/messages HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: %d-%d-%s\r\nContent-Length: 1\r\n\r\n1",
			a.number, n, strings.Repeat("k", 230))
	})
}

// open upgrades the connection to a WebSocket and reads the header of the answer.
func (a *assailant) open(path, more string) error {
	_, err := fmt.Fprintf(a.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, more)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(a.conn, 16), nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		answer.Body.Close()
		return fmt.Errorf("refused: %s", answer.Status)
	}
	a.hasBegun()
	return nil
}

// frame sends a frame (RFC 6455, section 5.2) that declares the length says. The mask is 0.
func (a *assailant) frame(first byte, says int, payload []byte) error {
	var head []byte
	switch {
	case says < 126:
		head = []byte{first, 0x80 | byte(says)}
	case says < 1<<16:
		head = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(says))
	default:
		head = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(says))
	}
	_, err := a.conn.Write(append(append(head, 0, 0, 0, 0), payload...))
	return err
}

const (
	textFrame, binaryFrame = 0x81, 0x82
	beginOfText            = 0x01
	compressedText         = 0xc1
)

func (a *assailant) send(text string) error { return a.frame(textFrame, len(text), []byte(text)) }

func (a *assailant) unfinished() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	return a.frame(beginOfText, trialMessage, bytes.Repeat([]byte("x"), trialMessage))
}

func (a *assailant) halfAFrame() error {
	if err := a.open("/raw/busy", ""); err != nil {
		return err
	}
	return a.frame(binaryFrame, trialMessage, make([]byte, trialMessage-1))
}

func (a *assailant) deafSubscriber() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	return a.send(`{"type":"subscribe","id":1,"channel":"busy"}`)
}

func (a *assailant) manyChannels() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	for n := range 128 {
		if err := a.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"kept:%d:%d:%s"}`, n, a.number, n, strings.Repeat("c", 230))); err != nil {
			return err
		}
	}
	return a.take()
}

func (a *assailant) publisher() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	text := strings.Repeat("x", trialMessage)
	return a.forever(func() error {
		return a.send(fmt.Sprintf(`{"type":"publish","id":1,"channel":"kept:%d","data":%q}`, a.number%4, text))
	})
}

func (a *assailant) rawPublisher() error {
	if err := a.open("/raw/busy", ""); err != nil {
		return err
	}
	payload := make([]byte, trialMessage)
	return a.forever(func() error { return a.frame(binaryFrame, len(payload), payload) })
}

func (a *assailant) historyCommands() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	return a.forever(func() error {
		return a.send(fmt.Sprintf(`{"type":"history","id":1,"channel":"kept:%d","limit":1000}`, a.number%4))
	})
}

func (a *assailant) resumer() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	return a.forever(func() error {
		channel := fmt.Sprintf("kept:%d", a.number%4)
		if err := a.send(`{"type":"subscribe","id":1,"channel":"` + channel + `","recent":100}`); err != nil {
			return err
		}
		return a.send(`{"type":"unsubscribe","id":2,"channel":"` + channel + `"}`)
	})
}

func (a *assailant) bomb() error {
	if err := a.open("/ws", "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"); err != nil {
		return err
	}
	var packed bytes.Buffer
	deflater, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return err
	}
	if _, err := deflater.Write(make([]byte, 50<<20)); err != nil {
		return err
	}
	if err := deflater.Flush(); err != nil {
		return err
	}
	message := bytes.TrimSuffix(packed.Bytes(), []byte("\x00\x00\xff\xff"))
	if err := a.frame(compressedText, len(message), message); err != nil {
		return err
	}
	return a.take()
}

func (a *assailant) reset() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	if err := a.conn.(*net.TCPConn).SetLinger(0); err != nil {
		return err
	}
	return io.EOF
}

func (a *assailant) nonsense() error {
	if err := a.open("/ws", ""); err != nil {
		return err
	}
	return a.forever(func() error { return a.send(`{"type":"what","id":1}`) })
}
