package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

type pollAnswer struct {
	status    int
	body      string
	Messages  []struct{ Data json.RawMessage }
	Cursor    string
	Gaps      []string
	Recovered *bool
}

func (a *pollAnswer) data() (all []string) {
	for _, m := range a.Messages {
		all = append(all, string(m.Data))
	}
	return all
}

// poll sends one request and returns the answer. It is safe for concurrent use.
func (n *node) poll(query string) (answer pollAnswer) {
	n.t.Helper()
	client := *n.server.Client()
	client.Timeout = patience
	response, err := client.Get(n.server.URL + "/poll?" + query)
	if err != nil {
		n.t.Error(err)
		return answer
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	answer.status, answer.body = response.StatusCode, string(body)
	if err == nil && answer.status == http.StatusOK {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		n.t.Errorf("%s: %s: %v", query, body, err)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		n.t.Errorf("%s: Cache-Control %q", query, got)
	}
	return answer
}

func TestLongPoll_BeginsWithTheCurrentCursor(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	at := n.publish("news", "1")
	got := n.poll("channel=news")
	if want := fmt.Sprintf(`{"messages":[],"cursor":%q,"gaps":[]}`, at); got.body != want {
		t.Errorf("answer %d %s, want %s", got.status, got.body, want)
	}
}

func TestLongPoll_AnswersAtOnceWithWhatIsNewer(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	at := n.publish("news", "1")
	n.publish("news", "2")
	last := n.publish("news", "3")
	for _, wait := range []string{"0s", "60s"} {
		got := n.poll("channel=news&wait=" + wait + "&cursor=" + at.String())
		if fmt.Sprint(got.data()) != "[2 3]" || got.Cursor != last.String() || got.Recovered != nil {
			t.Errorf("wait=%s: answer %s", wait, got.body)
		}
	}
}

func TestLongPoll_LeavesPayloadsAsTheyAre(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	at := n.publish("news", "1")
	n.publish("news", `"<b>&</b>"`)
	if got := n.poll("channel=news&cursor=" + at.String()); !strings.Contains(got.body, `"<b>&</b>"`) {
		t.Errorf("answered %s", got.body)
	}
}

func TestLongPoll_WaitsForTheNextMessage(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	for _, query := range []string{"channel=news", "channel=news&channel=other"} {
		answered := n.pollWaiting(query)
		n.publish("news", `"now"`)
		if got := <-answered; fmt.Sprint(got.data()) != `["now"]` {
			t.Errorf("%s: answer %d %s", query, got.status, got.body)
		}
		n.awaitSessions(0)
	}
}

// A client that switches from a transport with one cursor per channel resumes on all
// channels.
func TestLongPoll_TakesACursorOfEachChannel(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	news, sport := n.publish("news", `"old"`), n.publish("sport", `"old"`)
	n.publish("news", `"news"`)
	n.publish("sport", `"sport"`)
	n.publish("fresh", `"old"`)
	query := fmt.Sprintf("channel=sport&cursor=%s&channel=fresh&cursor=&channel=news&cursor=%s&wait=0s", sport, news)
	got := n.poll(query)
	data := got.data()
	slices.Sort(data)
	if !slices.Equal(data, []string{`"news"`, `"sport"`}) || len(got.Gaps) != 0 || got.Recovered != nil {
		t.Errorf("answer %d %s", got.status, got.body)
	}
	n.publish("fresh", `"now"`)
	again := n.poll("channel=sport&channel=fresh&channel=news&cursor=" + url.QueryEscape(got.Cursor))
	if fmt.Sprint(again.data()) != `["now"]` {
		t.Errorf("answer %d %s", again.status, again.body)
	}
	l := n.listen(query)
	heard := make(map[string]bool)
	for range 2 {
		event, _ := l.next()
		heard[event.data[:strings.Index(event.data, `,"cursor"`)]] = true
	}
	if !heard[`{"type":"message","channel":"news","data":"news"`] || !heard[`{"type":"message","channel":"sport","data":"sport"`] {
		t.Errorf("the stream began with %v", heard)
	}
}

func TestLongPoll_SaysNothingWhenNothingCame(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	cursor := n.poll("channel=news").Cursor
	for _, wait := range []string{"0s", "50ms"} {
		if got := n.poll("channel=news&wait=" + wait + "&cursor=" + cursor); got.status != http.StatusNoContent || got.body != "" {
			t.Errorf("wait=%s: answer %d %s", wait, got.status, got.body)
		}
	}
	n.awaitSessions(0)
}

// A client that polls repeatedly receives every message once and in order, whatever the time
// between its polls.
func TestLongPoll_MissesNothingBetweenTwoRequests(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	cursor := n.poll("channel=news").Cursor
	const total = 60
	go func() {
		for i := range total {
			n.publish("news", fmt.Sprint(i))
		}
	}()
	var got []string
	for len(got) < total {
		answer := n.poll("channel=news&wait=60s&cursor=" + cursor)
		if answer.status != http.StatusOK {
			t.Fatalf("answer %d %s", answer.status, answer.body)
		}
		got = append(got, answer.data()...)
		cursor = answer.Cursor
	}
	for i, payload := range got {
		if payload != fmt.Sprint(i) {
			t.Fatalf("message %d is %s: %v", i, payload, got)
		}
	}
}

func TestLongPoll_TellsWhatIsLost(t *testing.T) {
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 2}}
	n := startNode(t, gateway.Config{Rules: rules})
	for i := range 5 {
		n.publish("news", fmt.Sprint(i))
	}
	for _, cursor := range []string{"other:1", strings.Replace(n.poll("channel=news").Cursor, ":5", ":1", 1)} {
		got := n.poll("channel=news&wait=60s&cursor=" + cursor)
		if fmt.Sprint(got.data()) != "[3 4]" || got.Recovered == nil || *got.Recovered {
			t.Errorf("cursor %s: answer %d %s", cursor, got.status, got.body)
		}
		if next := n.poll("channel=news&wait=0s&cursor=" + got.Cursor); next.status != http.StatusNoContent {
			t.Errorf("after %s: answer %d %s", cursor, next.status, next.body)
		}
	}
	// Nothing is left: the next request must not be told of the same loss again.
	got := n.poll("channel=empty&wait=60s&cursor=other:1")
	if len(got.Messages) > 0 || got.Recovered == nil {
		t.Errorf("an empty channel: answer %d %s", got.status, got.body)
	}
	if next := n.poll("channel=empty&wait=0s&cursor=" + got.Cursor); next.status != http.StatusNoContent {
		t.Errorf("an empty channel again: answer %d %s", next.status, next.body)
	}
}

func TestLongPoll_WithoutHistoryThereIsAlwaysAGap(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	cursor := n.poll("channel=bare:c").Cursor
	if got := n.poll("channel=bare:c&wait=50ms&cursor=" + cursor); got.status != http.StatusNoContent {
		t.Errorf("with nothing published: %d %s", got.status, got.body)
	}
	answered := make(chan pollAnswer)
	n.awaitSubscribed(0) // the last poll has ended
	go func() { answered <- n.poll("channel=bare:c&wait=60s&cursor=" + cursor) }()
	n.awaitSubscribed(1)
	n.publish("bare:c", "1")
	if got := <-answered; fmt.Sprint(got.data(), got.Gaps) != "[1] [bare:c]" {
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

func TestLongPoll_LeavesToTheNextAnswerWhatIsTooMuch(t *testing.T) {
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, HistorySize: 1000}}
	n := startNode(t, gateway.Config{Rules: rules, Limits: gateway.Limits{OutboxBytes: 100_000}})
	cursor := n.poll("channel=news").Cursor
	payload := strings.Repeat("x", 10_000)
	for i := range 100 {
		n.publish("news", fmt.Sprintf(`"%d %s"`, i, payload))
	}
	var got []string
	answers := 0
	for len(got) < 100 {
		answer := n.poll("channel=news&wait=0s&cursor=" + cursor)
		if answer.status != http.StatusOK || len(answer.body) > 2*answerBytes {
			t.Fatalf("answer %d with %d bytes", answer.status, len(answer.body))
		}
		got = append(got, answer.data()...)
		cursor = answer.Cursor
		answers++
	}
	for i, data := range got {
		if data != fmt.Sprintf(`"%d %s"`, i, payload) {
			t.Fatalf("message %d is %.20s", i, data)
		}
	}
	if answers < 3 {
		t.Errorf("a megabyte came in %d answers", answers)
	}
}

// pollWaiting returns the answer to a poll from now on, which waits when pollWaiting returns.
func (n *node) pollWaiting(query string) (answered <-chan pollAnswer) {
	n.t.Helper()
	cursor := n.poll(query).Cursor
	answer := make(chan pollAnswer)
	go func() { answer <- n.poll(query + "&wait=60s&cursor=" + url.QueryEscape(cursor)) }()
	n.awaitSessions(1)
	return answer
}

func TestLongPoll_DrainingAnswersAtOnce(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	answered := n.pollWaiting("channel=news")
	began := time.Now()
	n.stop()
	if got := <-answered; got.status != http.StatusNoContent {
		t.Errorf("answer %d %s", got.status, got.body)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("answered after %v", took)
	}
}

// As the next request will be.
func TestLongPoll_AnonymousClientIsAskedToAuthenticateIfTheRulesChange(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	answered := n.pollWaiting("channel=news")
	must(t, n.SetRules(rules.List{{Match: "*", Subscribe: rules.Authenticated}}))
	if got := <-answered; got.status != http.StatusUnauthorized {
		t.Errorf("answer %d %s", got.status, got.body)
	}
}

func TestLongPoll_Refusals(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for query, want := range map[string]int{
		"":                                http.StatusBadRequest,
		"channel=a&wait=soon":             http.StatusBadRequest,
		"channel=a&wait=61s":              http.StatusBadRequest,
		"channel=a&wait=-1s":              http.StatusBadRequest,
		"channel=a&cursor=nonsense":       http.StatusBadRequest,
		"channel=a&cursor=e:1&cursor=e:2": http.StatusBadRequest,
		"channel=a&channel=b&cursor=e:1&cursor=nonsense": http.StatusBadRequest,
		"channel=@alice":                  http.StatusUnauthorized,
		"channel=@alice&access_token=bob": http.StatusForbidden,
	} {
		got := n.poll(query)
		if got.status != want || !strings.HasPrefix(got.body, `{"error":{"code":`) {
			t.Errorf("%q: %d %s; want %d", query, got.status, got.body, want)
		}
	}
}

// refuser is a backend that refuses to subscribe to a channel, with the code that it is named
// after.
type refuser struct{}

func (refuser) Wants(event gateway.HookEvent) bool { return event == gateway.OnSubscribe }

func (refuser) Ask(_ context.Context, q *gateway.Question) error {
	return &gateway.Error{Code: gateway.Code(q.Channel), Message: "not " + q.Channel + strings.Repeat(" at all", 20)}
}

func (refuser) Tell(context.Context, []gateway.Notice) error { return nil }

// Whether the client resumes makes no difference.
func TestLongPoll_RefusedChannelsHaveTheirOwnErrors(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules(), Hooks: refuser{}})
	for code, want := range map[string]int{
		"rate_limited": http.StatusTooManyRequests, "limit_exceeded": http.StatusTooManyRequests, "forbidden": http.StatusForbidden,
		"not_found": http.StatusNotFound, "unauthenticated": http.StatusUnauthorized, "unavailable": http.StatusServiceUnavailable,
	} {
		first := n.poll("channel=" + code)
		got := n.poll("channel=" + code + "&cursor=e:1")
		if got.status != want || got.body != first.body || !strings.Contains(got.body, "not "+code) {
			t.Errorf("%s: answer %d %s; without a cursor %d %s", code, got.status, got.body, first.status, first.body)
		}
	}
	full := startNode(t, gateway.Config{Rules: historyRules(), Limits: gateway.Limits{Subscriptions: 1}})
	full.listen("channel=news").expectID()
	if got := full.poll("channel=sport&cursor=e:1"); got.status != http.StatusTooManyRequests || !strings.Contains(got.body, `"limit_exceeded"`) {
		t.Errorf("with all subscriptions in use: answer %d %s", got.status, got.body)
	}
}

// An answer that is full before the last channel was looked at still has a place on it to
// continue from.
func TestLongPoll_AFullAnswerLeavesNoChannelOut(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: historyRules()})
	payload := strings.Repeat("x", 60_000)
	for _, channel := range []string{"a", "b", "c"} {
		for i := range 5 {
			n.publish(channel, fmt.Sprintf(`"%s%d %s"`, channel, i, payload))
		}
	}
	var got []string
	for query := "recent=5"; len(got) < 15; {
		answer := n.poll("channel=a&channel=b&channel=c&wait=0s&" + query)
		if len(answer.Messages) == 0 || len(answer.body) > 2*answerBytes {
			t.Fatalf("after %q: answer %d with %d bytes", got, answer.status, len(answer.body))
		}
		for _, data := range answer.data() {
			got = append(got, data[1:3])
		}
		query = "cursor=" + url.QueryEscape(answer.Cursor)
	}
	slices.Sort(got)
	if want := "[a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4]"; fmt.Sprint(got) != want {
		t.Errorf("the messages are %v, want %s", got, want)
	}
}

// In the metrics, a poll must not count as an opened session.
func TestLongPoll_IsNoSessionThatWasOpened(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for range 3 {
		n.poll("channel=news")
	}
	n.listen("channel=news").expectID()
	text := httptest.NewRecorder()
	n.metrics.Handler().ServeHTTP(text, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{"tidegate_polls_total 3\n", "tidegate_session_opened_total 1\n"} {
		if !strings.Contains(text.Body.String(), want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}
