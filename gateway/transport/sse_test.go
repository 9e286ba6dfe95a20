package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// listener reads a stream of events exactly as the HTML standard says.
type listener struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Scanner
	lastID   string
	leave    context.CancelFunc
}

type sseEvent struct{ name, data string }

// listen opens a stream with the given query.
func (n *node) listen(query string, header ...string) *listener {
	n.t.Helper()
	l := n.tryListen(query, header...)
	if l.response.StatusCode != http.StatusOK || l.response.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(l.response.Body)
		n.t.Fatalf("%s: %s %s", query, l.response.Status, body)
	}
	return l
}

func (n *node) tryListen(query string, header ...string) *listener {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	n.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.server.URL+"/events?"+query, nil)
	must(n.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := n.server.Client().Do(request)
	must(n.t, err)
	n.t.Cleanup(func() { cancel(); response.Body.Close() })
	return &listener{t: n.t, response: response, lines: bufio.NewScanner(response.Body), leave: cancel}
}

// next returns the next event. ok is false at the end of the stream.
func (l *listener) next() (event sseEvent, ok bool) {
	data := ""
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case l.lines.Text() == "" && data != "":
			event.data = strings.TrimSuffix(data, "\n")
			return event, true
		case l.lines.Text() == "":
			event.name = ""
		case field == "event":
			event.name = value
		case field == "data":
			data += value + "\n"
		case field == "id":
			l.lastID = value
		}
	}
	return event, false
}

func (l *listener) expect(want ...sseEvent) {
	l.t.Helper()
	for _, w := range want {
		got, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended before %+v: %v", w, l.lines.Err())
		}
		if got != w {
			l.t.Fatalf("event %+v, want %+v", got, w)
		}
	}
}

// expectID reads until the stream has sent an id, and returns it.
func (l *listener) expectID() string {
	l.t.Helper()
	for l.lastID == "" && l.lines.Scan() {
		if id, ok := strings.CutPrefix(l.lines.Text(), "id: "); ok {
			l.lastID = id
		}
	}
	if l.lastID == "" {
		l.t.Fatalf("the stream ended without an id: %v", l.lines.Err())
	}
	return l.lastID
}

func data(format string, args ...any) sseEvent { return sseEvent{data: fmt.Sprintf(format, args...)} }

// historyRules keep history on all channels except those that begin with bare:.
func historyRules() rules.List {
	bare := rules.Rule{Match: "bare:*", Subscribe: rules.Anyone}
	return append(rules.List{bare}, rules.Development()...)
}

func TestSSE_CarriesPayloads(t *testing.T) {
	n := startNode(t, gateway.Config{})
	l := n.listen("channel=news")
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := l.response.Header.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	l.expectID()
	n.publish("news", `{"n":1}`)
	n.publish("news", "{\r\n\"n\":\n2}")
	n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Text, Payload: []byte("line\rother\n")})
	n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Text, Payload: []byte{}})
	n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Binary, Payload: []byte{0, 255}})
	last := n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Text, Event: "headline", Payload: []byte("named")})
	l.expect(data(`{"n":1}`), data("{\n\"n\":\n2}"), data("line\nother\n"), data(""), data("AP8="), sseEvent{"headline", "named"})
	if l.lastID != last.String() {
		t.Errorf("last id %q, want %q", l.lastID, last)
	}
}

func TestSSE_EnvelopesOneChannelIfAsked(t *testing.T) {
	n := startNode(t, gateway.Config{})
	l := n.listen("channel=news&envelope=true")
	l.expectID()
	n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Text, Event: "headline", Payload: []byte("42")})
	n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Binary, Payload: []byte{0, 255}})
	for _, want := range []string{`{"type":"message","channel":"news","text":"42","event":"headline"`, `{"type":"message","channel":"news","binary":"AP8="`} {
		if got, ok := l.next(); !ok || got.name != "" || !strings.HasPrefix(got.data, want) {
			t.Errorf("event %+v, want data that begins with %s", got, want)
		}
	}
}

func TestSSE_ResumesWhereItEnded(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	l := n.listen("channel=news")
	l.expectID()
	n.publish("news", "1")
	l.expect(data("1"))
	l.leave()
	n.publish("news", "2")
	n.publish("news", "3")
	again := n.listen("channel=news&cursor=overruled", "Last-Event-ID", l.lastID)
	again.expect(data("2"), data("3"))
	n.publish("news", "4")
	again.expect(data("4"))
	n.listen("channel=news&cursor="+l.lastID).expect(data("2"), data("3"), data("4"))
}

// A client that has not received a message yet can resume, too.
func TestSSE_ResumesFromItsFirstID(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	for _, query := range []string{"channel=a", "channel=a&channel=b"} {
		l := n.listen(query)
		id := l.expectID()
		l.leave()
		n.publish("a", `"missed"`)
		again := n.listen(query, "Last-Event-ID", id)
		if event, ok := again.next(); !ok || !strings.Contains(event.data, `"missed"`) {
			t.Errorf("%s: event %+v, %v", query, event, ok)
		}
	}
}

func TestSSE_SeveralChannelsHaveOneCursor(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	l := n.listen("channel=a&channel=b&channel=bare:c&channel=a")
	l.expectID()
	next := func(l *listener, channel, payload string) {
		t.Helper()
		event, ok := l.next()
		if !ok || !strings.Contains(event.data, fmt.Sprintf(`"channel":%q,"data":%s`, channel, payload)) {
			t.Fatalf("event %+v, %v; want %s on %s", event, ok, payload, channel)
		}
	}
	n.publish("a", "1")
	n.publish("b", "2")
	n.publish("a", "3")
	next(l, "a", "1")
	next(l, "b", "2")
	afterB := l.lastID
	next(l, "a", "3")
	l.leave()
	n.publish("b", "4")

	again := n.listen("channel=bare:c&channel=b&channel=a", "Last-Event-ID", afterB)
	again.expect(sseEvent{"gap", `{"type":"gap","channel":"bare:c"}`})
	got := map[string]bool{}
	for range 2 {
		event, _ := again.next()
		got[event.data[:strings.Index(event.data, `,"cursor"`)]] = true
	}
	if !got[`{"type":"message","channel":"a","data":3`] || !got[`{"type":"message","channel":"b","data":4`] {
		t.Errorf("resumed with %v", got)
	}
	n.publish("bare:c", "5")
	next(again, "bare:c", "5")
}

func TestSSE_TellsWhatIsLost(t *testing.T) {
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 2}}
	n := startNode(t, gateway.Config{Rules: rules})
	id := n.publish("news", "0").String()
	for i := range 4 {
		n.publish("news", fmt.Sprint(i+1))
	}
	lost := sseEvent{"gap", `{"type":"gap","channel":"news"}`}
	n.listen("channel=news&cursor="+id).expect(lost, data("3"), data("4"))
	n.listen("channel=news&cursor=other:1").expect(lost, data("3"), data("4"))
}

func TestSSE_AStreamWithoutHistoryTellsThatItWasAway(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	l := n.listen("channel=bare:c")
	id := l.expectID()
	n.publish("bare:c", "1")
	l.expect(data("1"))
	l.leave()
	again := n.listen("channel=bare:c", "Last-Event-ID", id)
	again.expect(sseEvent{"gap", `{"type":"gap","channel":"bare:c"}`})
	again.expectID()
	n.publish("bare:c", "2")
	again.expect(data("2"))
}

// A message whose event name is gap must not look like a gap.
func TestSSE_NoMessagePassesForAGap(t *testing.T) {
	n := startNode(t, gateway.Config{})
	gap := gateway.Publish{Channel: "news", Kind: broker.JSON, Payload: []byte(`{"type":"gap","channel":"news"}`), Event: "gap"}
	one, several := n.listen("channel=news"), n.listen("channel=news&channel=other")
	one.expectID()
	several.expectID()
	n.publishAs(gap)
	one.expect(data(`{"type":"gap","channel":"news"}`))
	if got, ok := several.next(); !ok || got.name != "" || !strings.Contains(got.data, `"event":"gap"`) {
		t.Errorf("on a stream of several channels it is %+v", got)
	}
}

// EventSource tells its page of its connection by events, too.
func TestSSE_NoMessagePassesForAnEventOfTheConnection(t *testing.T) {
	n := startNode(t, gateway.Config{})
	l := n.listen("channel=news")
	l.expectID()
	for name, want := range map[string]string{"open": "", "error": "", "message": "message", "said": "said"} {
		n.publishAs(gateway.Publish{Channel: "news", Kind: broker.Text, Payload: []byte(name), Event: name})
		l.expect(sseEvent{want, name})
	}
}

// The gateway subscribes a user's sessions to the user's personal channel. A stream must not
// carry its messages unless the request names it.
func TestSSE_CarriesOnlyWhatIsAskedFor(t *testing.T) {
	n := startNode(t, gateway.Config{})
	l := n.listen("channel=news&access_token=alice")
	personal := n.listen("channel=@alice", "Authorization", "Bearer alice")
	l.expectID()
	personal.expectID()
	n.publish("@alice", `"personal"`)
	n.publish("news", `"news"`)
	l.expect(data(`"news"`))
	personal.expect(data(`"personal"`))
}

// A client may have missed more messages than a session can buffer.
func TestSSE_ResumesFromFarBack(t *testing.T) {
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 1000}}
	n := startNode(t, gateway.Config{Rules: rules, Limits: gateway.Limits{OutboxBytes: 100_000}})
	l := n.listen("channel=news")
	id := l.expectID()
	l.leave()
	payload := strings.Repeat("x", 10_000)
	for i := range 100 {
		n.publish("news", fmt.Sprintf(`"%d %s"`, i, payload))
	}
	again := n.listen("channel=news&cursor=" + id)
	for i := range 100 {
		again.expect(data(`"%d %s"`, i, payload))
	}
}

func TestSSE_Refusals(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{ChannelsPerSession: 2}})
	for query, want := range map[string]int{
		"":                                      http.StatusBadRequest,
		"channel=":                              http.StatusBadRequest,
		"channel=a%20b":                         http.StatusBadRequest,
		"channel=a&cursor=nonsense":             http.StatusBadRequest,
		"channel=a&cursor=k1:x":                 http.StatusBadRequest,
		"channel=a&channel=b&cursor=k1:1":       http.StatusBadRequest,
		"channel=a&channel=b&channel=c":         http.StatusRequestURITooLong,
		"channel=@alice":                        http.StatusUnauthorized,
		"channel=@alice&access_token=bob":       http.StatusForbidden,
		"channel=a&access_token=bad":            http.StatusUnauthorized,
		"channel=@alice&cursor=k1:1":            http.StatusUnauthorized,
		"channel=a&cursor=" + keyOf("a") + "~x": http.StatusBadRequest,
	} {
		l := n.tryListen(query)
		body, _ := io.ReadAll(l.response.Body)
		if l.response.StatusCode != want || !strings.HasPrefix(string(body), `{"error":{"code":`) {
			t.Errorf("%q: %s %s; want %d", query, l.response.Status, body, want)
		}
	}
	n.awaitSessions(0)
}

func TestSSE_ALeavingClientEndsTheSession(t *testing.T) {
	n := startNode(t, gateway.Config{})
	l := n.listen("channel=news")
	l.expectID()
	n.awaitSessions(1)
	l.leave()
	n.awaitSessions(0)
}

func TestSSE_ShutdownEndsTheStream(t *testing.T) {
	n := startNode(t, gateway.Config{DrainWindow: time.Millisecond})
	l := n.listen("channel=news")
	l.expectID()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if event, ok := l.next(); ok || l.lines.Err() != nil {
		t.Errorf("event %+v, error %v; want the end", event, l.lines.Err())
	}
}

func TestSSE_BeatsKeepASilentStream(t *testing.T) {
	n := startNode(t, gateway.Config{Ping: time.Second})
	l := n.listen("channel=news")
	for beats := 0; beats < 6; {
		if !l.lines.Scan() {
			t.Fatalf("the stream ended after %d heart-beats: %v", beats, l.lines.Err())
		}
		if l.lines.Text() == ":" {
			beats++
		}
	}
}

func TestSSE_AClientThatDoesNotReadIsClosed(t *testing.T) {
	n := startNode(t, gateway.Config{Limits: gateway.Limits{OutboxBytes: 256 << 10}})
	l := n.listen("channel=flood")
	l.expectID()
	payload := fmt.Sprintf("%q", strings.Repeat("x", 60_000))
	n.awaitThat("the session is closed", func() bool {
		n.publish("flood", payload)
		return n.sessions() == 0
	})
}

func TestSSE_OverHTTP2(t *testing.T) {
	n := newNode(t, gateway.Config{Rules: historyRules()})
	n.server = httptest.NewUnstartedServer(n.mux)
	n.server.EnableHTTP2 = true
	n.server.StartTLS()
	l := n.listen("channel=news")
	if l.response.ProtoMajor != 2 {
		t.Fatalf("spoken over %s", l.response.Proto)
	}
	id := l.expectID()
	n.publish("news", "1")
	l.expect(data("1"))
	l.leave()
	n.listen("channel=news&cursor=" + id).expect(data("1"))
	n.awaitThat("one session is left", func() bool { return n.sessions() == 1 })
}

func TestSSE_Curl(t *testing.T) {
	curl := brokertest.FindProgram(t, "curl")
	n := startNode(t, gateway.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, curl, "--silent", "--no-buffer", n.server.URL+"/events?channel=news")
	output, err := command.StdoutPipe()
	must(t, err)
	must(t, command.Start())
	l := &listener{t: t, lines: bufio.NewScanner(output)}
	l.expectID()
	n.publish("news", `"for curl"`)
	l.expect(data(`"for curl"`))
	cancel()
	command.Wait()
	n.awaitSessions(0)
}

// Otherwise all clients of a node that crashes would come to the others in the same moment.
func TestSSE_ClientsComeBackAfterDifferentTimes(t *testing.T) {
	n := startNode(t, gateway.Config{})
	told := map[int]bool{}
	for range 8 {
		l := n.listen("channel=news")
		l.lines.Scan()
		text, _ := strings.CutPrefix(l.lines.Text(), "retry: ")
		wait, err := strconv.Atoi(text)
		if err != nil || wait < 1000 || wait > 3000 {
			t.Errorf("a stream begins with %q: want 1 to 3 s to wait before coming back", l.lines.Text())
		}
		told[wait] = true
	}
	if len(told) == 1 {
		t.Errorf("all clients are to wait %v", told)
	}
}

// An EventSource never reconnects after a status other than 200.
func TestSSE_AnEventSourceComesBackWhereThatMakesSense(t *testing.T) {
	limits := gateway.DefaultLimits()
	limits.Sessions = 1
	full := startNode(t, gateway.Config{Limits: limits})
	full.listen("channel=news").expectID()
	draining := startNode(t, gateway.Config{})
	must(t, draining.Shutdown(t.Context()))
	for name, n := range map[string]*node{"full": full, "draining": draining} {
		l := n.tryListen("channel=news", "Accept", "text/event-stream")
		body, err := io.ReadAll(l.response.Body)
		if err != nil || l.response.StatusCode != http.StatusOK || l.response.Header.Get("Content-Type") != "text/event-stream" ||
			!strings.HasPrefix(string(body), "retry: ") || strings.Contains(string(body), "data:") {
			t.Errorf("%s: an EventSource is answered %s %q %v", name, l.response.Status, body, err)
		}
		if l := n.tryListen("channel=news"); l.response.StatusCode == http.StatusOK {
			t.Errorf("%s: who is no EventSource is answered %s", name, l.response.Status)
		}
	}
	for query, want := range map[string]int{"": 400, "channel=news&access_token=bad": 401} {
		if l := draining.tryListen(query, "Accept", "text/event-stream"); l.response.StatusCode != want {
			t.Errorf("%q: an EventSource that cannot ever succeed is answered %s, want %d", query, l.response.Status, want)
		}
	}
}
