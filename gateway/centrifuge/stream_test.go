package centrifuge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/gatewaytest"
	"tidegate/gateway/rules"
)

// stream is a client that receives the body of a response.
type stream struct {
	t        *testing.T
	response *http.Response
	lines    chan string // closed when the body has ended
}

// listen requests a stream.
func listen(t *testing.T, method, url, body string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	must(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	must(t, err)
	s, ended := &stream{t, response, make(chan string, 64)}, make(chan struct{})
	go func() {
		defer close(ended)
		defer close(s.lines)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if line := strings.TrimPrefix(lines.Text(), "data: "); line != "" {
				s.lines <- line
			}
		}
	}()
	t.Cleanup(func() { cancel(); _ = response.Body.Close(); <-ended; client.CloseIdleConnections() })
	return s
}

// next returns the next line, without pings, or "" if the stream has ended.
func (s *stream) next() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		select {
		case line := <-s.lines:
			if line != "{}" {
				return line
			}
		case <-ctx.Done():
			s.t.Fatal("nothing was heard")
		}
	}
}

// expect reads up to a line that contains all of the texts.
func (s *stream) expect(texts ...string) string {
	s.t.Helper()
	for {
		line := s.next()
		if line == "" {
			s.t.Fatalf("the stream has ended without %q", texts)
		}
		if hasAll(line, texts) {
			return line
		}
	}
}

func hasAll(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// connected returns the session and node of the connect reply.
func (s *stream) connected() (session, node string) {
	s.t.Helper()
	var reply struct {
		Connect struct {
			Session, Node string
			Pong          bool
		}
	}
	must(s.t, json.Unmarshal([]byte(s.expect(`"connect":`)), &reply))
	if reply.Connect.Pong {
		s.t.Error("the client of a stream is asked for pongs")
	}
	return reply.Connect.Session, reply.Connect.Node
}

// emulate sends a command in a request and returns the status of the answer.
func emulate(t *testing.T, n *node, session, node, data string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"session": session, "node": node, "data": data})
	must(t, err)
	return post(t, n.url+"/emulation", "application/json", string(body))
}

func post(t *testing.T, url, contentType, body string) int {
	t.Helper()
	response, err := http.Post(url, contentType, strings.NewReader(body))
	must(t, err)
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// A client on a stream can send commands to any node, but only with the session's secret.
func TestEmulation_ReachesASessionFromAnyNode(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	s := listen(t, http.MethodPost, nodes[0].url+"/connection/http_stream", `{"id":1,"connect":{"token":"user alice"}}`)
	session, node := s.connected()
	id, _, _ := strings.Cut(session, ".")
	for i, n := range nodes {
		channel := []string{"a", "b"}[i]
		if status := emulate(t, n, session, node, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`); status != http.StatusNoContent {
			t.Fatalf("by the node %d: %d", i, status)
		}
		s.expect(`"id":2`, `"subscribe":`)
		for about, attempt := range map[string]struct {
			session, node string
			want          int
		}{
			"no such session": {"nobody.key", node, http.StatusNotFound},
			"no such node":    {session, "three", http.StatusServiceUnavailable},
			"the id alone":    {id, node, http.StatusForbidden},
			"another key":     {id + ".guess", node, http.StatusForbidden},
			"nothing":         {"", "", http.StatusBadRequest},
			"no node":         {session, "", http.StatusBadRequest},
		} {
			if status := emulate(t, n, attempt.session, attempt.node, `{"id":3,"ping":{}}`); status != attempt.want {
				t.Errorf("%s: %d, want %d", about, status, attempt.want)
			}
		}
	}
	if status := emulate(t, nodes[1], session, node, `{"id":`); status != http.StatusNoContent {
		t.Errorf("what the session cannot read: %d", status)
	}
	s.expect(`"disconnect":{"code":3501,`)
	if line := s.next(); line != "" {
		t.Errorf("after its end the stream said %s", line)
	}
}

func TestEmulation_RefusesWhatItCannotRead(t *testing.T) {
	_, nodes := startNodes(t, "one")
	url := nodes[0].url + "/emulation"
	for about, attempt := range map[string]struct {
		contentType, body string
		want              int
	}{
		"no JSON":      {"application/json", "{", http.StatusBadRequest},
		"a list":       {"application/json", "[]", http.StatusBadRequest},
		"nothing":      {"application/json", "", http.StatusBadRequest},
		"nested":       {"application/json", `{"session":"s.k","node":"one","data":"","x":` + deep + "}", http.StatusBadRequest},
		"no session":   {"application/json", `{"node":"one","data":"{}"}`, http.StatusBadRequest},
		"no Protobuf":  {"application/octet-stream", "\xff", http.StatusBadRequest},
		"far too much": {"application/json", strings.Repeat(" ", 17<<20), http.StatusRequestEntityTooLarge},
	} {
		if status := post(t, url, attempt.contentType, attempt.body); status != attempt.want {
			t.Errorf("%s: %d, want %d", about, status, attempt.want)
		}
	}
}

func TestStream_TellsARefusalInTheProtocol(t *testing.T) {
	_, nodes := startNodes(t, "one")
	for path, said := range map[string]string{
		"http_stream": `{"id":1,"connect":{"token":"mallory"}}`, "uni_http_stream": `{"token":"mallory"}`,
		"sse": `{"id":1,"connect":{"token":"mallory"}}`, "uni_sse": `{"token":"mallory"}`,
	} {
		s := listen(t, http.MethodPost, nodes[0].url+"/connection/"+path, said)
		if s.response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, s.response.Status)
		}
		s.expect(`"disconnect":{"code":3500,`)
		if line := s.next(); line != "" {
			t.Errorf("%s: after its end the stream said %s", path, line)
		}
	}
}

func TestStream_RefusesWhatItCannotRead(t *testing.T) {
	_, nodes := startNodes(t, "one")
	for about, attempt := range map[string]struct {
		method, path, body string
		want               int
	}{
		"no connect":         {http.MethodGet, "sse", "", http.StatusBadRequest},
		"a GET of a POST":    {http.MethodGet, "http_stream", "", http.StatusMethodNotAllowed},
		"a PUT":              {http.MethodPut, "sse", "", http.StatusMethodNotAllowed},
		"no connect request": {http.MethodPost, "uni_http_stream", "[", http.StatusBadRequest},
		"not UTF-8":          {http.MethodPost, "uni_sse", "\xff", http.StatusBadRequest},
		"far too much":       {http.MethodPost, "http_stream", strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge},
	} {
		s := listen(t, attempt.method, nodes[0].url+"/connection/"+attempt.path, attempt.body)
		if s.response.StatusCode != attempt.want {
			t.Errorf("%s: %s, want %d", about, s.response.Status, attempt.want)
		}
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// A client that may send nothing cannot make the node read, either.
func TestStream_ABodyIsNotReadForAnAddressThatMustWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := broker.NewMemory()
		g, err := gateway.New(gateway.Config{
			Broker: memory, History: memory, Rules: rules.Development(), Limits: gateway.Limits{CommandsPerSecondPerIP: 1},
		})
		must(t, err)
		gatewaytest.Run(t, g, func() {})
		for about, c := range map[string]struct {
			handler http.Handler
			status  int
			says    string
		}{
			"emulation": {centrifuge.NewEmulation(g), http.StatusTooManyRequests, "rate_limited"},
			"a stream":  {centrifuge.NewStream(g, centrifuge.Lines, false), http.StatusOK, `{"push":{"disconnect":{"code":`},
		} {
			request := httptest.NewRequest(http.MethodPost, "/", unread{t})
			_ = g.Users.Spend(request.RemoteAddr) // all that the address may
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, request)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%s: %d %s", about, w.Code, w.Body)
			}
		}
	})
}

// Nor can one that is refused keep its connection, by a body that never comes.
func TestStream_ARefusalIsNotHeldUpByTheBody(t *testing.T) {
	memory := broker.NewMemory()
	g, err := gateway.New(gateway.Config{Broker: memory, History: memory, Register: memory, Rules: rules.Development()})
	must(t, err)
	server := httptest.NewServer(centrifuge.NewStream(g, centrifuge.Lines, false))
	gatewaytest.Run(t, g, server.Close)
	_, err = g.Denials.Deny(t.Context(), &gateway.Principal{Key: "tests"}, gateway.Denial{Address: netip.MustParsePrefix("127.0.0.1/32")})
	must(t, err)
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(brokertest.Patience)))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), `"disconnect":{"code":`) {
		t.Errorf("%s, %v, want a refusal and the end", answer, err)
	}
}

func TestStream_TellsThatThereIsNoRoomForItsCommands(t *testing.T) {
	memory := broker.NewMemory()
	said := `{"id":1,"connect":{"data":"` + strings.Repeat("x", 1000) + `"}}`
	g, err := gateway.New(gateway.Config{
		Broker: memory, History: memory, Rules: rules.Development(), Limits: gateway.Limits{InboundBytesPerIP: len(said) + 1},
	})
	must(t, err)
	gatewaytest.Run(t, g, func() {})
	w := httptest.NewRecorder()
	centrifuge.NewStream(g, centrifuge.Lines, false).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(said)))
	if body := w.Body.String(); !strings.Contains(body, `{"push":{"disconnect":{"code":3004,`) || !strings.Contains(body, "limits.inbound_bytes_per_ip") {
		t.Errorf("the stream says %s", body)
	}
}

// A one-way client receives its server-side channels.
func TestOneWay_HearsBarePushes(t *testing.T) {
	_, nodes := startNodes(t, "one", "two")
	streams := map[string]*stream{
		"uni_sse":                   listen(t, http.MethodGet, nodes[0].url+`/connection/uni_sse?cf_connect={"token":"user+alice"}`, ""),
		"uni_sse, POST":             listen(t, http.MethodPost, nodes[0].url+"/connection/uni_sse", `{"token":"user alice"}`),
		"uni_http_stream":           listen(t, http.MethodPost, nodes[1].url+"/connection/uni_http_stream", `{"token":"user alice"}`),
		"uni_websocket":             listenOneWay(t, nodes[1], "/connection/uni_websocket", `{"token":"user alice"}`),
		"uni_websocket, in the URL": listenOneWay(t, nodes[0], `/connection/uni_websocket?cf_connect={"token":"user+alice"}`, ""),
	}
	for about, s := range streams {
		if line := s.next(); !strings.HasPrefix(line, `{"connect":{"client":"`) || !strings.Contains(line, `"subs":{"@alice":{`) {
			t.Errorf("%s: began with %s", about, line)
		}
	}
	postMessage(t, nodes[0], "@alice", `{"text":"hi"}`)
	for about, s := range streams {
		if line := s.next(); !strings.HasPrefix(line, `{"channel":"@alice","pub":{"data":{"text":"hi"}`) {
			t.Errorf("%s: heard %s", about, line)
		}
	}
}

// listenOneWay is like listen, for a WebSocket.
func listenOneWay(t *testing.T, n *node, path, said string) *stream {
	t.Helper()
	c := dial(t, n, path)
	if said != "" {
		say(t, c, said)
	}
	s, ended := &stream{t: t, lines: make(chan string, 64)}, make(chan struct{})
	go func() {
		defer close(ended)
		defer close(s.lines)
		for {
			_, frame, err := c.Read(context.Background())
			if err != nil {
				return
			}
			s.lines <- string(frame)
		}
	}()
	t.Cleanup(func() { _ = c.CloseNow(); <-ended })
	return s
}

func TestOneWay_RefusalsAreCloseCodes(t *testing.T) {
	_, nodes := startNodes(t, "one")
	for about, attempt := range map[string]struct {
		path, said string
		want       websocket.StatusCode
	}{
		"a bad token":         {`?cf_connect={"token":"mallory"}`, "", 3500},
		"a bad token, said":   {"", `{"token":"mallory"}`, 3500},
		"no JSON":             {"?cf_connect=[", "", 3501},
		"no JSON, said":       {"", "[", 3501},
		"an end that is over": {`?cf_connect={"token":"old"}`, "", 3005},
	} {
		c := dial(t, nodes[0], "/connection/uni_websocket"+attempt.path)
		if attempt.said != "" {
			say(t, c, attempt.said)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, _, err := c.Read(ctx)
		cancel()
		if code := websocket.CloseStatus(err); code != attempt.want {
			t.Errorf("%s: closed with %d, %v; want %d", about, code, err, attempt.want)
		}
	}
}

// Pings come at regular intervals, however much else a client sends and receives.
func TestPing_ComesByTheClock(t *testing.T) {
	_, nodes := startNodes(t, "one")
	c := connectJSON(t, nodes[0])
	pings, said := 0, 0
	for deadline := time.Now().Add(patience); pings < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d pings came", pings)
		}
		say(t, c, `{"id":7,"ping":{}}`)
		said++
		hear(t, c, func(frame []byte) bool {
			if string(frame) == "{}" {
				pings++
			}
			return strings.Contains(string(frame), `"id":7`)
		})
	}
	if said < 10 {
		t.Errorf("it said %d things, too few to have been busy", said)
	}
}

// If messages may have been lost for good, the subscription ends so that the client
// subscribes again, and the connection goes on.
func TestGap_EndsTheSubscriptionAlone(t *testing.T) {
	redis, nodes := startNodes(t, "one")
	c := connectJSON(t, nodes[0])
	for _, channel := range []string{"plain:a", "kept"} {
		say(t, c, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`)
		hear(t, c, contains(`"id":2,"subscribe":`))
	}
	redis.CLI("CLIENT", "KILL", "TYPE", "pubsub")
	hear(t, c, contains(`{"push":{"channel":"plain:a","unsubscribe":{"code":2500,`))
	postMessage(t, nodes[0], "kept", `"still here"`)
	hear(t, c, contains(`"still here"`))
}

func TestPing_WhoDoesNotAnswerIsGone(t *testing.T) {
	_, nodes := startNodes(t, "one")
	c := connectJSON(t, nodes[0])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := c.Read(ctx); err != nil {
			if code := websocket.CloseStatus(err); code != 3012 {
				t.Errorf("closed with %d, %v; want 3012", code, err)
			}
			return
		}
	}
}
