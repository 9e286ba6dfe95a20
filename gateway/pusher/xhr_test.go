package pusher

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/internal/rates"
)

// post sends a request of a fallback transport and returns the answer. The caller must close
// its body.
func (n *node) post(ctx context.Context, path, body string) *http.Response {
	n.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.server.URL+"/pusher/app/"+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatalf("POST %s: %v", path, err)
	}
	return response
}

// posts is like post but returns the status and body of the answer.
func (n *node) posts(path, body string) (status int, answer string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	response := n.post(ctx, path, body)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatalf("POST %s: %v", path, err)
	}
	return response.StatusCode, string(text)
}

// xhr returns the path of a client's session on the fallback transports.
func xhr(key, text, what string) string {
	return key + "/7/" + text + "/" + what + "?protocol=7&client=js&version=8.6.0"
}

// streamed is a client that reads a stream.
type streamed struct {
	t     *testing.T
	lines *bufio.Reader
	end   func()
}

func (n *node) streams(text string) *streamed {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	response := n.post(ctx, xhr(shop.Key, text, "xhr_streaming"), "")
	s := &streamed{n.t.(*testing.T), bufio.NewReader(response.Body), func() { cancel(); response.Body.Close() }}
	n.t.Cleanup(s.end)
	if prelude := s.line(); prelude != strings.Repeat("h", 2048) {
		n.t.Fatalf("the prelude is %q", prelude)
	}
	return s
}

func (s *streamed) line() string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		s.t.Fatalf("waited for a line: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// hears waits for a line that contains a text.
func (s *streamed) hears(text string) string {
	s.t.Helper()
	for {
		if line := s.line(); strings.Contains(line, text) {
			return line
		}
	}
}

// Requests of one session may go to any node.
func TestXHR_AnyRequestMayComeToAnyNode(t *testing.T) {
	nodes, _ := startPair(t, gateway.Config{})
	a, b := nodes[0], nodes[1]
	if _, opened := a.posts(xhr(shop.Key, "alice", "xhr"), ""); opened != "o\n" {
		t.Fatalf("the first poll is answered by %q", opened)
	}
	if _, greeting := b.posts(xhr(shop.Key, "alice", "xhr"), ""); !strings.HasPrefix(greeting, `a["{\"event\":\"pusher:connection_established\"`) {
		t.Fatalf("the second poll is answered by %q", greeting)
	}
	for i, n := range []*node{b, a} {
		subscribe := fmt.Sprintf(`["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news-%d\"}}"]`, i)
		if status, answer := n.posts(xhr(shop.Key, "alice", "xhr_send"), subscribe); status != http.StatusNoContent {
			t.Fatalf("xhr_send: %d %s", status, answer)
		}
		if _, heard := b.posts(xhr(shop.Key, "alice", "xhr"), ""); !strings.Contains(heard, "subscription_succeeded") {
			t.Fatalf("after the subscribe the poll is answered by %q", heard)
		}
	}
	stream := b.streams("alice")
	a.request(shop, "POST", "/apps/3/events", "", `{"name":"said","channel":"news-0","data":"hi"}`)
	if line := stream.hears("said"); !strings.HasPrefix(line, `a["{`) {
		t.Errorf("heard %q", line)
	}
	stream.end()
	brokertest.Eventually(t, "the session ends with its stream", func() bool { return a.xhr.stayOf(idAt(a, "alice")) == nil })
}

// A client may begin a new session under the same path while the old one's timer runs.
func TestXHR_OldSessionEndsWithoutTheNewOneOfItsPath(t *testing.T) {
	n := startNode(t, gateway.Config{})
	open := func() *stay {
		if _, opened := n.posts(xhr(shop.Key, "alice", "xhr"), ""); opened != "o\n" {
			t.Fatalf("the first poll is answered by %q", opened)
		}
		return n.xhr.stayOf(idAt(n, "alice"))
	}
	old := open()
	n.xhr.lose(old)
	brokertest.Eventually(t, "the session is gone", func() bool {
		nodes, err := n.Nodes.List(t.Context())
		return err == nil && len(nodes) == 1 && nodes[0].Sessions == 0
	})
	anew := open()
	n.xhr.lose(old)
	if n.xhr.stayOf(anew.session.ID()) != anew {
		t.Error("the new session is forgotten with the old one")
	}
}

// idAt returns the id of a client's session.
func idAt(n *node, text string) string {
	_, settings := n.apps.byKey(shop.Key)
	r, _ := http.NewRequest(http.MethodPost, "/", nil)
	r.SetPathValue("number", "7")
	r.SetPathValue("text", text)
	return sessionOf(settings, r)
}

func TestXHR_RefusalsHavePushersCodes(t *testing.T) {
	n := startNode(t, gateway.Config{}, shop, App{ID: "off", Key: "off", Secret: "s", Disabled: true})
	for path, code := range map[string]int{
		"nobody/7/x/xhr?protocol=7":                4001,
		"off/7/x/xhr?protocol=7":                   4003,
		shop.Key + "/7/x/xhr?protocol=7&version=x": 4006,
		shop.Key + "/7/x/xhr?protocol=99":          4007,

		shop.Key + "/7/" + strings.Repeat("x", 100) + "/xhr?protocol=7": 4005,
		shop.Key + "/7/x/xhr":                           4008,
		shop.Key + "/7/x/xhr_streaming":                 4008,
		shop.Key + "/7/x/xhr?protocol=7&access_token=x": 4009,
	} {
		status, answer := n.posts(path, "")
		lines := strings.Split(strings.TrimSpace(answer), "\n")
		lines = lines[max(0, len(lines)-3):]
		if status != http.StatusOK || len(lines) != 3 || lines[0] != "o" || !strings.Contains(lines[1], "pusher:error") || !strings.HasPrefix(lines[2], fmt.Sprintf("c[%d,", code)) {
			t.Errorf("%s: %d %q, want %d", path, status, lines, code)
		}
	}
	for path, want := range map[string]int{
		xhr("nobody", "x", "xhr_send"): http.StatusNotFound,
		xhr(shop.Key, "x", "xhr_send"): http.StatusNotFound, // no session
	} {
		if status, answer := n.posts(path, "[]"); status != want {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if status, _ := n.posts(xhr(shop.Key, "x", "xhr"), "a body"); status != http.StatusBadRequest {
		t.Errorf("a poll with a body: %d", status)
	}
}

func TestXHR_SendIsBounded(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.posts(xhr(shop.Key, "alice", "xhr"), "")
	stream := n.streams("alice")
	for body, want := range map[string]int{
		strings.Repeat("x", shop.sentBytes(n.Gateway)+1): http.StatusRequestEntityTooLarge,
		"not JSON": http.StatusNoContent, // the session reports the error
		"[]":       http.StatusNoContent,
	} {
		if status, _ := n.posts(xhr(shop.Key, "alice", "xhr_send"), body); status != want {
			t.Errorf("%.20q: %d, want %d", body, status, want)
		}
	}
	stream.hears("list of strings")
	chunked := struct{ io.Reader }{strings.NewReader("[]" + strings.Repeat(" ", shop.sentBytes(n.Gateway)))} // the part that may be read is a good body
	response, err := http.Post(n.server.URL+"/pusher/app/"+xhr(shop.Key, "alice", "xhr_send"), "", chunked)
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of unknown length that is too large: %d", response.StatusCode)
	}
}

// A refusal does not wait for a body that may never come.
func TestXHR_RefusalsAreNotHeldUpByTheBody(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for what, want := range map[string]string{"xhr_streaming": " 400 ", "xhr": " 400 ", "xhr_send": " 404 "} {
		c, err := net.Dial("tcp", n.server.Listener.Addr().String())
		must(t, err)
		defer c.Close()
		must(t, c.SetReadDeadline(time.Now().Add(brokertest.Patience)))
		_, err = fmt.Fprintf(c, "POST /pusher/app/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", xhr(shop.Key, "nobody", what))
		must(t, err)
		if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), want) {
			t.Errorf("%s: %q, %v, want%sand the end", what, answer, err, want)
		}
	}
}

// The largest event of an app passes, also if limits.message_bytes is 0: no limit.
func TestXHR_SendTakesTheLargestEvent(t *testing.T) {
	for _, most := range []int{0, 1, DefaultEventBytes} {
		n := startNode(t, gateway.Config{Limits: gateway.Limits{MessageBytes: most, OutboxBytes: 1 << 20}})
		n.streams("alice").hears("connection_established")
		event := fmt.Sprintf(`{"event":"client-x","channel":"private-x","data":%q}`, strings.Repeat(`"`, DefaultEventBytes/2-1))
		if status, answer := n.posts(xhr(shop.Key, "alice", "xhr_send"), fmt.Sprintf("[%q]", event)); status != http.StatusNoContent {
			t.Errorf("limits.message_bytes %d: %d %s", most, status, answer)
		}
	}
}

// The library ignores the answer to what it sends, so a client whose request is refused must
// start again.
func TestXHR_ClientThatIsNotHeardComesBack(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecondPerIP, limits.InboundBytes = 20, 8<<10
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"too many requests": {"[]", http.StatusTooManyRequests},
		"no room":           {"[" + strings.Repeat(" ", 9<<10) + "]", http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, _ := startPair(t, gateway.Config{Limits: limits})
			home, edge := nodes[0], nodes[1]
			stream := home.streams("alice")
			stream.hears("connection_established")
			brokertest.Eventually(t, "a request is refused", func() bool {
				status, _ := edge.posts(xhr(shop.Key, "alice", "xhr_send"), c.body)
				return status == c.status
			})
			stream.hears("c[4100,")
		})
	}
}

// What waits for a client that does not poll is bounded in size and time.
func TestXHR_ClientThatDoesNotAskIsClosed(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{OutboxBytes: 64 << 10, MessageBytes: 64 << 10}})
	n.posts(xhr(shop.Key, "slow", "xhr"), "")
	n.posts(xhr(shop.Key, "slow", "xhr_send"), `["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news\"}}"]`)
	brokertest.Eventually(t, "the session is subscribed", func() bool {
		found, err := n.Nodes.Channels(t.Context(), "news")
		return err == nil && len(found) == 1
	})
	body, _ := json.Marshal(map[string]string{"name": "said", "channel": "news", "data": strings.Repeat("x", 9000)})
	for range 20 {
		n.request(shop, "POST", "/apps/3/events", "", string(body))
	}
	var heard string
	for deadline := time.Now().Add(patience); !strings.Contains(heard, "c[") && time.Now().Before(deadline); {
		_, heard = n.posts(xhr(shop.Key, "slow", "xhr"), "")
	}
	if !strings.Contains(heard, "c[4100,") {
		t.Errorf("the last poll is answered by %.100q", heard)
	}
}

func TestXHR_SessionOfANodeThatEndsComesBackAtOnce(t *testing.T) {
	for name, end := range map[string]func(home, edge *node){
		"home": func(home, _ *node) { _ = home.Shutdown(t.Context()) }, // cannot fail: the context is not canceled
		"edge": func(_, edge *node) { edge.xhr.Drain(t.Context(), time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			nodes, _ := startPair(t, gateway.Config{DrainWindow: time.Millisecond})
			home, edge := nodes[0], nodes[1]
			home.posts(xhr(shop.Key, "alice", "xhr"), "")
			stream := edge.streams("alice")
			stream.hears("connection_established")
			ended := make(chan struct{})
			go func() { defer close(ended); end(home, edge) }()
			if line := stream.hears("c["); !strings.HasPrefix(line, "c[4200,") {
				t.Errorf("heard %s", line)
			}
			<-ended
		})
	}
}

func TestXHR_NewClientGoesToAnotherNodeThanOneThatDrains(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.xhr.Drain(t.Context(), 0)
	if _, answer := n.posts(xhr(shop.Key, "late", "xhr"), ""); !strings.Contains(answer, "c[4200,") {
		t.Errorf("answered by %q", answer)
	}
}

// A client that polls too late is told so, by any node that knows its home.
func TestXHR_ClientThatComesTooLateIsInactive(t *testing.T) {
	nodes, _ := startPair(t, gateway.Config{})
	home, edge := nodes[0], nodes[1]
	home.posts(xhr(shop.Key, "alice", "xhr"), "")
	edge.posts(xhr(shop.Key, "alice", "xhr"), "")
	home.xhr.lapse(home.xhr.stayOf(idAt(home, "alice")))
	if _, answer := edge.posts(xhr(shop.Key, "alice", "xhr"), ""); !strings.HasPrefix(answer, "c[4202,") {
		t.Errorf("answered by %q", answer)
	}
	brokertest.Eventually(t, "the session is forgotten with its last word", func() bool { return home.xhr.stayOf(idAt(home, "alice")) == nil })
}

// A request that overtakes an earlier one through another node waits for it.
func TestXHR_WhatIsSaidIsHeardInOrder(t *testing.T) {
	nodes, _ := startPair(t, gateway.Config{})
	a, b := nodes[0], nodes[1]
	for _, n := range nodes {
		n.xhr.patience = time.Hour
	}
	at := func(what string, number int) string {
		return fmt.Sprintf("%s&t=1&n=%d", xhr(shop.Key, "alice", what), number)
	}
	a.posts(at("xhr", 7), "")
	b.posts(at("xhr", 8), "")
	for _, c := range []struct {
		n      *node
		number int
	}{{b, 11}, {a, 10}, {b, 9}} {
		subscribe := fmt.Sprintf(`["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"news-%d\"}}"]`, c.number)
		if status, answer := c.n.posts(at("xhr_send", c.number), subscribe); status != http.StatusNoContent {
			t.Fatalf("xhr_send: %d %s", status, answer)
		}
	}
	var heard strings.Builder
	for number := 12; strings.Count(heard.String(), "succeeded") < 3; number++ {
		_, lines := b.posts(at("xhr", number), "")
		heard.WriteString(lines)
	}
	text := heard.String()
	if nine, ten := strings.Index(text, "news-9"), strings.Index(text, "news-10"); nine > ten || ten > strings.Index(text, "news-11") {
		t.Errorf("heard %s", text)
	}
}

// A question that is repeated while its answer is on the way gets no second answer: the request
// may end with the first.
func TestXHR_AskedAgainDoesNotAnswerTwice(t *testing.T) {
	n := startNode(t, gateway.Config{})
	s := n.opens("alice")
	win := &window{n.Node(), s.session.ID(), "ticket", 0, make(chan linesWord, 1)}
	n.xhr.setWindow(win)
	ask := func(again bool) {
		must(t, n.xhr.hearRead(n.Node(), readWord{Session: win.session, Ticket: win.ticket, Again: again}))
	}
	ask(false)
	brokertest.Eventually(t, "the answer has come", func() bool { return len(win.came) == 1 })
	ask(true)
	n.posts(xhr(shop.Key, "alice", "xhr_send"), `["{\"event\":\"pusher:ping\",\"data\":{}}"]`)
	brokertest.Eventually(t, "more waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) > 0
	})
	<-win.came
	ask(false)
	if word := <-win.came; !strings.Contains(string(word.Lines), "pusher:pong") {
		t.Errorf("the second answer is %s", word.Lines)
	}
}

// If the session's queue has no room for a frame, the client is told.
func TestXHR_TooMuchAtOnceIsTold(t *testing.T) {
	n := startNode(t, gateway.Config{})
	n.posts(xhr(shop.Key, "alice", "xhr"), "")
	s := n.xhr.stayOf(idAt(n, "alice"))
	n.xhr.receive(s, make([]byte, 2<<20))
	n.streams("alice").hears(`\"code\":4301`)
}

// Requests that still come while the node waits for its background work must not disturb it.
func TestXHR_WorkMayBeginWhileTheNodeWaitsForIt(t *testing.T) {
	n := startNode(t, gateway.Config{})
	over, waited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(waited)
		for {
			select {
			case <-over:
				return
			default:
				n.xhr.working.Wait()
			}
		}
	}()
	for i := range 20 {
		n.posts(xhr(shop.Key, strconv.Itoa(i), "xhr"), "")
	}
	close(over)
	<-waited
}

// If two nodes open a session for one path at once, only one session remains.
func TestXHR_OnePathIsOneSession(t *testing.T) {
	nodes, _ := startPair(t, gateway.Config{})
	var stays []*stay
	for _, n := range nodes {
		stays = append(stays, n.opens("alice"))
	}
	for _, n := range nodes {
		n.xhr.working.Wait()
	}
	closing := func(s *stay) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.closing
	}
	brokertest.Eventually(t, "the later one ends", func() bool { return closing(stays[1]) })
	if closing(stays[0]) {
		t.Error("both end")
	}
	if _, answer := nodes[1].posts(xhr(shop.Key, "alice", "xhr"), ""); !strings.Contains(answer, "c[4200,") {
		t.Errorf("the later one is told %q", answer)
	}
}

// If two first requests of one path reach a node at once, the later one is told to reconnect
// immediately, and the session of the other continues.
func TestXHR_OnePathIsOneSessionOnANode(t *testing.T) {
	n := startNode(t, gateway.Config{})
	app, settings := n.apps.byKey(shop.Key)
	r, _ := http.NewRequest(http.MethodPost, "/", nil)
	r.SetPathValue("number", "7")
	r.SetPathValue("text", "alice")
	first, second := n.xhr.open(r, app, sessionOf(settings, r)), n.xhr.open(r, app, sessionOf(settings, r))
	if code, _ := (Protocol{}).Farewell(gateway.ReasonOf(second)); first != nil || code != comeBack {
		t.Errorf("the first: %v; the second: %v, told as %d", first, second, code)
	}
	if _, heard := n.posts(xhr(shop.Key, "alice", "xhr"), ""); !strings.Contains(heard, "connection_established") {
		t.Errorf("the next poll is answered by %q", heard)
	}
}

// In a page with several clients, each session sees only some of the page's request numbers.
// All events of each client must arrive, in order.
func TestXHR_SeveralClientsOfAPageAreHeard(t *testing.T) {
	n := startNode(t, gateway.Config{})
	clients := []string{"alice", "bob", "carol"}
	number := 0
	at := func(client, what string) string {
		number++
		return fmt.Sprintf("%s&t=1&n=%d", xhr(shop.Key, client, what), number)
	}
	for _, client := range clients {
		n.posts(at(client, "xhr"), "")
	}
	for i := range 8 {
		for _, client := range clients {
			subscribe := fmt.Sprintf(`["{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"%s-%d\"}}"]`, client, i)
			if status, answer := n.posts(at(client, "xhr_send"), subscribe); status != http.StatusNoContent {
				t.Fatalf("xhr_send: %d %s", status, answer)
			}
		}
	}
	for _, client := range clients {
		var heard strings.Builder
		for strings.Count(heard.String(), "succeeded") < 8 {
			_, lines := n.posts(at(client, "xhr"), "")
			heard.WriteString(lines)
		}
		last := -1
		for i := range 8 {
			at := strings.Index(heard.String(), fmt.Sprintf("%s-%d", client, i))
			if at < last {
				t.Errorf("%s heard %s", client, heard.String())
			}
			last = at
		}
	}
}

func TestLined_SaysWhatItsProtocolSaysInLines(t *testing.T) {
	l := lined{spoken(App{ID: "1", Key: "k", Secret: "s", Prefix: "shop:"})}
	for _, event := range everyEvent() {
		frame, err := l.Encode(event)
		plain, plainErr := l.Protocol.Encode(event)
		if _, heartbeat := event.(gateway.Heartbeat); heartbeat {
			if string(frame.Data) != "h\n" {
				t.Errorf("a heartbeat is %q", frame.Data)
			}
			continue
		}
		if fmt.Sprint(err) != fmt.Sprint(plainErr) || frame.Others != plain.Others || (frame.Data == nil) != (plain.Data == nil) {
			t.Errorf("%s: %+v, %v; want as %+v, %v", nameOf(event), frame, err, plain, plainErr)
		}
		if frame.Data == nil {
			continue
		}
		var events []string
		line, whole := strings.CutPrefix(string(frame.Data), "a")
		if err := json.Unmarshal([]byte(line), &events); !whole || err != nil || len(events) != 1 || events[0] != string(plain.Data) || strings.Count(line, "\n") != 1 {
			t.Errorf("%s is the line %q, %v", nameOf(event), frame.Data, err)
		}
	}
}

func TestUnits_AreThoseOfJavaScript(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc\n": 4, "é€": 2, "🙂": 2, "a🙂é": 4} {
		if got := units([]byte(text)); got != want {
			t.Errorf("%q has %d, want %d", text, got, want)
		}
	}
}

// opens opens a session as the first request of a client does.
func (n *node) opens(text string) *stay {
	n.t.Helper()
	app, settings := n.apps.byKey(shop.Key)
	r, _ := http.NewRequest(http.MethodPost, "/", nil)
	r.SetPathValue("number", "7")
	r.SetPathValue("text", text)
	if err := n.xhr.open(r, app, sessionOf(settings, r)); err != nil {
		n.t.Fatal(err)
	}
	return n.xhr.stayOf(sessionOf(settings, r))
}

// A poll costs as much as any other request, even if its session is known.
func TestXHR_PollsAreCountedForTheirAddress(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.CommandsPerSecondPerIP = 1
	n := startNode(t, gateway.Config{Limits: limits})
	answer := ""
	for deadline, i := time.Now().Add(patience), 0; !strings.Contains(answer, "commands_per_second_per_ip"); i++ {
		client := fmt.Sprint("client", i)
		n.opens(client)
		_ = n.Budget.Spend(&gateway.Principal{User: "another"}, "127.0.0.1:1", rates.Cost{Commands: 1}) // fails if nothing is left
		if _, answer = n.posts(xhr(shop.Key, client, "xhr"), ""); time.Now().After(deadline) {
			t.Fatalf("no poll is refused; the last one is answered %s", answer)
		}
	}
}

// Ended sessions do not accumulate if their clients do not ask for the last lines.
func TestXHR_SessionsThatAreOverAreForgotten(t *testing.T) {
	n := startNode(t, gateway.Config{})
	const many = mostOver + 10
	for i := range many {
		n.opens(fmt.Sprint(i)).session.Close(gateway.Disconnected)
	}
	brokertest.Eventually(t, "the first ones to be forgotten", func() bool {
		n.xhr.mu.Lock()
		defer n.xhr.mu.Unlock()
		return len(n.xhr.stays) == mostOver && len(n.xhr.over) == mostOver
	})
	if _, answer := n.posts(xhr(shop.Key, fmt.Sprint(many-1), "xhr"), ""); !strings.Contains(answer, "c[4009,") {
		t.Errorf("the last one is told %q", answer)
	}
}
