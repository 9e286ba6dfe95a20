package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"tidegate/broker/brokertest"
)

const watchingApp = `
pusher: {apps: [{id: '1', key: key, secret: a secret, watchlists: true}]}
presence: {lease: 3s, linger: 1s}
` + pusherRules

// runOfficial runs a script with the official libraries during the test. It returns the
// output once that says that the script is ready.
func runOfficial(t *testing.T, packages, host, script string, env ...string) *chatLog {
	t.Helper()
	command := exec.Command(brokertest.FindProgram(t, "node", "nodejs"), script)
	command.Dir = packages
	command.Env = append(append(os.Environ(), "GATEWAY="+host, "APP_ID=1", "APP_KEY=key", "APP_SECRET=a secret"), env...)
	stdout, err := command.StdoutPipe()
	must(t, err)
	heard := newChatLog(t, script)
	runBeside(t, command)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			heard.add(lines.Text())
		}
	}()
	heard.hears("ready")
	return heard
}

func (p *process) kill() {
	p.t.Helper()
	must(p.t, p.command.Process.Kill())
	<-p.done
}

// When a node is killed, its online users and members are reported as having left,
// after its lease.
func TestPusher_OthersHearOfAKilledNode(t *testing.T) {
	t.Parallel()
	nodes, _ := startPusherNodes(t, watchingApp)
	packages := officialPackages(t)
	alice := runOfficial(t, packages, nodes[0].host(), "watcher.mjs", "USER=alice", "WATCHLIST=bob")
	alice.hears("bob offline")
	runOfficial(t, packages, nodes[1].host(), "watcher.mjs", "USER=bob", "WATCHLIST=alice").hears("alice online")
	alice.hears("bob online")
	alice.hears("bob came")
	offline, _ := alice.count("bob offline")
	left, _ := alice.count("bob left")
	nodes[1].kill()
	alice.hearsTimes("bob offline", offline+1)
	alice.hearsTimes("bob left", left+1)
}

// balance forwards each request to the next node, or to the other one if that is gone.
func balance(t *testing.T, nodes []*process) (host string) {
	t.Helper()
	var turn atomic.Int64
	balancer := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", ""
			for r.Out.URL.Host == "" {
				if p := nodes[int(turn.Add(1))%len(nodes)]; !p.ended() {
					r.Out.URL.Host = p.host()
				}
			}
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	})
	t.Cleanup(balancer.Close)
	return strings.TrimPrefix(balancer.URL, "http://")
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// A client on a fallback transport whose node is killed reconnects to the other one. It
// misses only messages published while it was not connected, which it knows.
func TestPusher_FallbackClientSurvivesItsNode(t *testing.T) {
	t.Parallel()
	packages := officialPackages(t)
	for _, transport := range []string{"xhr_streaming", "xhr_polling"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			nodes, _ := startPusherNodes(t, pusherApp+pusherRules)
			client := runOfficial(t, packages, balance(t, nodes), "survivor.mjs", "TRANSPORT="+transport, "CHANNEL="+pusherRoom)
			home, other := nodes[0], nodes[1]
			if home.metric("tidegate_sessions") == 0 {
				home, other = other, home
			}
			number := 0
			say := func() {
				number++
				other.publish(t, fmt.Sprintf(`{"number":%d}`, number))
			}
			for range 5 {
				say()
			}
			client.hears("number 5\n")
			home.kill()
			for back, news := client.count("subscribed again"); back == 0; back, news = client.count("subscribed again") {
				say()
				<-news // the client has printed what it received, or that it is back
			}
			say()
			client.hears(fmt.Sprintf("number %d\n", number))
			checkNumbers(t, client.all(), number)
		})
	}
}

var numberLine = regexp.MustCompile(`^number (\d+)$`)

// checkNumbers checks that a client has received numbers in order, and that some are
// missing only where it has reconnected.
func checkNumbers(t *testing.T, lines []string, most int) {
	t.Helper()
	last, anew := 0, false
	for _, line := range lines {
		match := numberLine.FindStringSubmatch(line)
		if match == nil {
			anew = anew || strings.HasPrefix(line, "connected as")
			continue
		}
		number, _ := strconv.Atoi(match[1]) // cannot fail: it consists of digits
		if number <= last || number > last+1 && !anew {
			t.Errorf("number %d after %d, on one connection:\n%s", number, last, strings.Join(lines, "\n"))
		}
		last, anew = number, false
	}
	if last != most {
		t.Errorf("heard up to %d, want %d", last, most)
	}
}

// publish publishes to the room through the node's API.
func (p *process) publish(t *testing.T, text string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, p.public("/api/channels/"+pusherRoom+"/messages?event=said"), strings.NewReader(text))
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+backendKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("publish: %s", response.Status)
	}
}

func (l *chatLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(l.text.String(), "\n")
}
