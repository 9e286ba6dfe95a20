package api_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/api"
	"tidegate/gateway/auth"
)

var noLimits = gateway.Limits{}

func TestPublish_KindsOfPayload(t *testing.T) {
	n := startNode(t, noLimits)
	binary := func(text string) string {
		return `"binary":"` + base64.StdEncoding.EncodeToString([]byte(text)) + `",`
	}
	for i, test := range []struct{ contentType, body, want string }{
		{"application/json", `{"a":1}`, `"data":{"a":1}`},
		{"application/json; charset=utf-8", ` 42 `, `"data":42`},
		{"application/cloudevents+json", `[]`, `"data":[]`},
		{"text/plain", "42", `"text":"42"`},
		{"text/plain; charset=UTF-8", "grüße", `"text":"grüße"`},
		{"application/octet-stream", "42", binary("42")},
		{"image/png", "\x89PNG", binary("\x89PNG")},
		{"", `{"a":1}`, `"data":{"a":1}`},
		{"", `a < b & c`, `"text":"a \u003c b \u0026 c"`},
		{"", "\xff\xfe", binary("\xff\xfe")},
		{"", "", `"text":""`},
		{"application/x-www-form-urlencoded", `{"curl":"-d"}`, `"data":{"curl":"-d"}`},
	} {
		channel := fmt.Sprint("log:", i)
		if cursor := n.publish(channel, test.contentType, test.body); cursor == "" {
			t.Errorf("%q: no cursor on a channel with history", test.contentType)
		}
		got := n.history(channel, "")
		if len(got) != 1 || !strings.Contains(got[0], strings.TrimSuffix(test.want, ",")) {
			t.Errorf("%q %q becomes %q, want %s", test.contentType, test.body, got, test.want)
		}
	}
}

func TestPublish_RefusesBodiesThatAreNotWhatTheySay(t *testing.T) {
	n := startNode(t, noLimits)
	for contentType, body := range map[string]string{
		"application/json":         `{"a":`,
		"application/problem+json": ``,
		"application/json; x=1":    "\"\xff\"",
		"text/plain":               "\xff",
		"no/such/type; =":          "abc",
	} {
		n.expect(call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: body,
			header: http.Header{"Content-Type": {contentType}}}, 400, "bad_request")
	}
	if got := n.history("log:a", ""); len(got) != 0 {
		t.Errorf("published all the same: %q", got)
	}
}

// A compressed body or another charset must not be passed on unchanged.
func TestPublish_RefusesBodiesThatItDoesNotDecode(t *testing.T) {
	n := startNode(t, noLimits)
	for _, header := range []http.Header{
		{"Content-Encoding": {"gzip"}},
		{"Content-Encoding": {"br"}, "Content-Type": {"application/octet-stream"}},
		{"Content-Encoding": {"identity", "gzip"}},
		{"Content-Type": {"application/json; charset=utf-16"}},
		{"Content-Type": {"application/problem+json; charset=UTF-16LE"}},
		{"Content-Type": {"text/plain; charset=iso-8859-1"}},
	} {
		n.expect(call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: "1", header: header}, 415, "bad_request")
		n.expect(call{method: "POST", path: "/api/messages", credential: shopKey, body: `[{"channels":["log:a"],"data":1}]`, header: header},
			415, "bad_request")
	}
	if got := n.history("log:a", ""); len(got) != 0 {
		t.Errorf("published all the same: %q", got)
	}
	for _, header := range []http.Header{
		{"Content-Encoding": {"identity"}, "Content-Type": {"text/plain; charset=US-ASCII"}},
		{"Content-Type": {"application/octet-stream; charset=binary"}},
	} {
		n.expect(call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: "1", header: header}, 200, "cursor")
	}
}

func TestPublish_NamesOfChannels(t *testing.T) {
	n := startNode(t, noLimits)
	for escaped, name := range map[string]string{
		"log:a%2Fb":    "log:a/b",
		"log:%2E%2E":   "log:..",
		"log:gr%C3%BC": "log:grü",
		"log:a%3Fb%23": "log:a?b#",
		"log:100%25":   "log:100%",
	} {
		n.publish(escaped, "", "1")
		if got := n.history(escaped, ""); len(got) != 1 || !strings.Contains(got[0], `"channel":"`+name+`"`) {
			t.Errorf("%s: the history is %q, want a message of %s", escaped, got, name)
		}
	}
	for _, bad := range []string{"log:a%20b", "log:%00", "log:%FF", "@", strings.Repeat("c", 256)} {
		n.expect(call{method: "POST", path: "/api/channels/" + bad + "/messages", credential: shopKey, body: "1"}, 400, "bad_request")
	}
}

func TestPublish_EventAndUser(t *testing.T) {
	n := startNode(t, noLimits)
	alice := token(t, auth.Claims{User: "alice"})
	n.expect(call{method: "POST", path: "/api/channels/log:a/messages?event=greeting", credential: alice, body: "1"}, 200, "cursor")
	want := []string{`{"channel":"log:a","data":1,"event":"greeting","user":"alice"}`}
	if got := n.history("log:a", ""); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
	n.expect(call{method: "POST", path: "/api/channels/log:a/messages?event=a%0Ab", credential: alice, body: "1"}, 400, "bad_request")
	n.expect(call{method: "POST", path: "/api/channels/log:a/messages?transient=yes", credential: alice, body: "1"}, 400, "bad_request")
	n.expect(call{method: "POST", path: "/api/channels/log:a/messages?transient=true", credential: alice, body: "1"}, 200, "cursor")
	n.expect(call{method: "POST", path: "/api/channels/log:a/messages?tags=%5B1%5D", credential: alice, body: "1"}, 400, "bad_request")
	n.expect(call{method: "POST", path: "/api/channels/log:b/messages?tags=%7B%22color%22:%22red%22%7D", credential: alice, body: "1"}, 200, "cursor")
	if got := n.history("log:a", ""); len(got) != 1 {
		t.Errorf("a transient message is in the history: %q", got)
	}
	want = []string{`{"channel":"log:b","data":1,"tags":{"color":"red"},"user":"alice"}`}
	if got := n.history("log:b", ""); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
}

func TestPublish_WithTheSameKeyHappensOnce(t *testing.T) {
	n := startNode(t, noLimits)
	c := call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: "1", header: http.Header{"Idempotency-Key": {"order-7"}}}
	first := n.expect(c, 200, "cursor")
	if second := n.expect(c, 200, "cursor"); second != first {
		t.Errorf("the second answer is %s, want %s", second, first)
	}
	if got := n.history("log:a", ""); len(got) != 1 {
		t.Errorf("it was published %d times", len(got))
	}
	c.header.Set("Idempotency-Key", strings.Repeat("k", 256))
	n.expect(c, 400, "bad_request")
}

func TestPublish_WithoutHistoryHasNoCursor(t *testing.T) {
	n := startNode(t, noLimits)
	n.expect(call{method: "POST", path: "/api/channels/open:a/messages", credential: shopKey, body: "1"}, 200, `{"cursor":""}`)
}

func TestPublish_TooLarge(t *testing.T) {
	n := startNode(t, gateway.Limits{MessageBytes: 10})
	path := "/api/channels/log:a/messages"
	n.expect(call{method: "POST", path: path, credential: shopKey, body: "1234567890"}, 200, "cursor")
	n.expect(call{method: "POST", path: path, credential: shopKey, body: "12345678901"}, 413, "too_large")
	chunked := http.Header{"Transfer-Encoding": {"chunked"}}
	n.expect(call{method: "POST", path: path, credential: shopKey, body: strings.Repeat("1", 1<<16), header: chunked}, 413, "too_large")
}

// An announced body is charged to the node's memory until it has arrived and been answered.
func TestPublish_BodiesShareTheNodesRoom(t *testing.T) {
	n := startNode(t, gateway.Limits{InboundBytes: 10})
	const path = "/api/channels/log:a/messages"
	small := call{method: "POST", path: path, credential: shopKey, body: "1234"}
	body, rest := io.Pipe()
	slow, held := newHeld(t, n.url+path, body)
	slow.ContentLength = 8
	answered := make(chan error, 1)
	go func() {
		answer, err := n.client.Do(slow)
		if err == nil {
			answer.Body.Close()
		}
		answered <- err
	}()
	<-held
	n.expect(small, http.StatusServiceUnavailable, "unavailable")
	_, err := io.WriteString(rest, "12345678")
	must(t, err)
	must(t, rest.Close())
	must(t, <-answered)
	awaitStatus(t, n, small, http.StatusOK)
}

// newHeld returns a request of the shop, and a channel that is closed when the node has begun to
// read its body.
func newHeld(t *testing.T, url string, body io.Reader) (r *http.Request, held chan struct{}) {
	t.Helper()
	held = make(chan struct{})
	trace := &httptrace.ClientTrace{Got100Continue: func() { close(held) }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, url, body)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+shopKey)
	r.Header.Set("Expect", "100-continue")
	return r, held
}

// An answer is charged to the node's memory until the client has received it.
func TestHistory_AnswersShareTheNodesRoom(t *testing.T) {
	n := startNode(t, gateway.Limits{InboundBytes: 200})
	publish := call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: "1"}
	history := call{method: "GET", path: publish.path, credential: shopKey}
	n.expect(publish, 200, "cursor")
	n.expect(history, 200, "messages")
	publish.body = `"` + strings.Repeat("x", 150) + `"`
	n.expect(publish, 200, "cursor")
	n.expect(history, 503, "unavailable")
	n.expect(call{method: "DELETE", path: publish.path, credential: shopKey}, 204, "")
	n.expect(history, 200, "messages")
}

// awaitStatus repeats a call until it gets that status.
func awaitStatus(t *testing.T, n *node, c call, want int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		status, body, _ := n.do(c)
		if status == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %d %s, want %d", status, body, want)
		}
	}
}

func TestPublish_NotConfirmedIs503(t *testing.T) {
	n := startNode(t, noLimits)
	n.broker.away.Store(true)
	status, body, header := n.do(call{method: "POST", path: "/api/channels/log:a/messages", credential: shopKey, body: "1"})
	if status != 503 || !strings.Contains(body, `"unavailable"`) || header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v, want 503 unavailable with Retry-After", status, body, header)
	}
}

// TestAuthorization calls every route with every kind of credential.
func TestAuthorization(t *testing.T) {
	n := startNode(t, noLimits)
	alice := token(t, auth.Claims{User: "alice"})
	guest := token(t, auth.Claims{User: "guest", Subscribe: []string{"room:1"}, Publish: []string{"room:2"}})
	path := func(channel string) string { return "/api/channels/" + channel + "/messages" }
	for _, test := range []struct {
		method, path string
		// Expected statuses without a credential, with a wrong key, as alice, as the guest
		// and as the shop.
		nobody, wrong, alice, guest, shop int
	}{
		{"POST", path("log:a"), 401, 401, 200, 200, 200},
		{"POST", path("open:a"), 200, 401, 200, 200, 200},
		{"POST", path("room:1"), 401, 401, 403, 403, 200},
		{"POST", path("room:2"), 401, 401, 403, 200, 200},
		{"POST", path("other"), 401, 401, 403, 403, 200},
		{"POST", path("@alice"), 401, 401, 403, 403, 200},
		{"GET", path("log:a"), 200, 401, 200, 200, 200},
		{"GET", path("room:1"), 401, 401, 403, 200, 200},
		{"GET", path("room:2"), 401, 401, 403, 403, 200},
		{"GET", path("open:a"), 404, 401, 404, 404, 404},
		{"DELETE", path("log:a"), 401, 401, 403, 403, 204},
		{"GET", "/api/channels/club:a/presence", 401, 401, 200, 200, 200},
		{"GET", "/api/channels/log:a/presence", 404, 401, 404, 404, 404},
		{"GET", "/api/channels", 401, 401, 403, 403, 200},
		{"GET", "/api/users/alice/sessions", 401, 401, 403, 403, 200},
		{"DELETE", "/api/users/alice/sessions", 401, 401, 403, 403, 200},
		{"POST", "/api/users/alice/channels/log:a", 401, 401, 403, 403, 200},
		{"DELETE", "/api/users/alice/channels/log:a", 401, 401, 403, 403, 200},
		{"GET", "/api/nodes", 401, 401, 403, 403, 200},
		{"GET", "/api/probe", 401, 401, 403, 403, 200},
		{"GET", "/api/bans", 401, 401, 403, 403, 200},
		{"POST", "/api/bans", 401, 401, 403, 403, 400},
		{"DELETE", "/api/bans/none", 401, 401, 403, 403, 404},
		{"GET", "/api/revocations", 401, 401, 403, 403, 200},
		{"POST", "/api/revocations", 401, 401, 403, 403, 400},
		{"DELETE", "/api/revocations/none", 401, 401, 403, 403, 404},
	} {
		payload := "1"
		if strings.HasPrefix(test.path, "/api/users/") {
			payload = "" // a body is refused there
		}
		for credential, want := range map[string]int{
			"": test.nobody, "a wrong key": test.wrong, alice: test.alice, guest: test.guest, shopKey: test.shop,
		} {
			status, body, header := n.do(call{method: test.method, path: test.path, credential: credential, body: payload})
			if status != want {
				t.Errorf("%s %s as %.20q: %d %s, want %d", test.method, test.path, credential, status, body, want)
			}
			if challenged := header.Get("WWW-Authenticate") != ""; challenged != (status == 401) {
				t.Errorf("%s %s: %d with WWW-Authenticate %q", test.method, test.path, status, header.Get("WWW-Authenticate"))
			}
		}
	}
}

func TestAuthorization_WaysToShowACredential(t *testing.T) {
	n := startNode(t, noLimits)
	path := "/api/channels/log:a/messages"
	escaped := strings.ReplaceAll(shopKey, " ", "%20")
	n.expect(call{method: "POST", path: path + "?access_token=" + escaped, body: "1"}, 200, "cursor")
	for _, header := range []http.Header{
		{"Authorization": {"bearer " + shopKey}},
	} {
		n.expect(call{method: "POST", path: path, body: "1", header: header}, 200, "cursor")
	}
	// A proxy of a staging site may ask for Basic, which the gateway must ignore.
	basic := http.Header{"Authorization": {"Basic c2hvcDprZXk="}}
	n.expect(call{method: "POST", path: "/api/channels/open:a/messages", body: "1", header: basic}, 200, "cursor")
	for _, header := range []http.Header{
		{"Authorization": {"Basic c2hvcDprZXk="}},
		{"Authorization": {shopKey}},
		{"Authorization": {"Bearer "}},
		{"Authorization": {"Bearer " + shopKey, "Bearer wrong"}},
	} {
		n.expect(call{method: "POST", path: path, body: "1", header: header}, 401, "unauthenticated")
	}
}

func TestAuthorization_NoAnonymous(t *testing.T) {
	n := startNodeFor(t, noLimits, api.Config{NoAnonymous: true})
	n.expect(call{method: "POST", path: "/api/channels/open:a/messages", body: "1"}, 401, "unauthenticated")
	n.expect(call{method: "POST", path: "/api/channels/open:a/messages", body: "1", credential: shopKey}, 200, "cursor")
}

func TestHistory_PagesByCursor(t *testing.T) {
	n := startNode(t, noLimits)
	var cursors []string
	for i := range 12 {
		cursors = append(cursors, n.publish("log:a", "", fmt.Sprint(i)))
	}
	want := func(from, to int) (messages []string) {
		for i := from; i < to; i++ {
			messages = append(messages, fmt.Sprintf(`{"channel":"log:a","data":%d}`, i))
		}
		return messages
	}
	for query, want := range map[string][]string{
		"":                                 want(2, 12),
		"?limit=3":                         want(9, 12),
		"?cursor=" + cursors[8]:            want(9, 12),
		"?limit=2&cursor=" + cursors[5]:    want(6, 8),
		"?cursor=" + cursors[11]:           nil,
		"?limit=1000&cursor=" + cursors[0]: want(2, 12),
	} {
		if got := n.history("log:a", query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	path := "/api/channels/log:a/messages"
	n.expect(call{method: "GET", path: path + "?cursor=" + cursors[0], credential: shopKey}, 200, `"recovered":false`)
	n.expect(call{method: "GET", path: path + "?limit=2&cursor=" + cursors[5], credential: shopKey}, 200, `"cursor":"`+cursors[7]+`"`)
	for _, query := range []string{"?limit=0", "?limit=-1", "?limit=many", "?cursor=x"} {
		n.expect(call{method: "GET", path: path + query, credential: shopKey}, 400, "bad_request")
	}
}

func TestHistory_Cleared(t *testing.T) {
	n := startNode(t, noLimits)
	n.publish("log:a", "", "1")
	n.expect(call{method: "DELETE", path: "/api/channels/log:a/messages", credential: shopKey}, 204, "")
	if got := n.history("log:a", ""); len(got) != 0 {
		t.Errorf("the history is %q", got)
	}
}

func TestBatch_ResultsInOrder(t *testing.T) {
	n := startNode(t, noLimits)
	body := n.expect(call{method: "POST", path: "/api/messages", credential: shopKey, body: `[
		{"channels":["log:a","open:b"],"data":{"n":1},"event":"e","key":"k"},
		{"channels":["log:a"],"text":"<two>"},
		{"channels":["log:a"],"binary":"AP8="},
		{"channels":["log:a"],"data":null,"tags":null},
		{"channels":["log:a"],"data":1,"tags":{"color":"red"}}]`}, 200, "results")
	if n := strings.Count(body, `"cursor"`); n != 6 {
		t.Errorf("%d results: %s", n, body)
	}
	if !strings.Contains(body, `},{"cursor":""},{`) {
		t.Errorf("the second result is not that of open:b: %s", body)
	}
	want := []string{
		`{"channel":"log:a","data":{"n":1},"event":"e"}`,
		`{"channel":"log:a","text":"\u003ctwo\u003e"}`,
		`{"binary":"AP8=","channel":"log:a"}`,
		`{"channel":"log:a","data":null}`,
		`{"channel":"log:a","data":1,"tags":{"color":"red"}}`,
	}
	if got := n.history("log:a", ""); !slices.Equal(got, want) {
		t.Errorf("the history is %q, want %q", got, want)
	}
}

func TestBatch_StatusTellsOfTheFirstError(t *testing.T) {
	n := startNode(t, noLimits)
	body := n.expect(call{method: "POST", path: "/api/messages", credential: token(t, auth.Claims{User: "alice"}),
		body: `[{"channels":["log:a","other","log:b"],"data":1}]`}, 403, `"forbidden"`)
	if !strings.Contains(body, `"results":[{"cursor":"`) {
		t.Errorf("the first result is no success: %s", body)
	}
	for _, channel := range []string{"log:a", "log:b"} {
		if got := n.history(channel, ""); len(got) != 1 {
			t.Errorf("%s has %q", channel, got)
		}
	}
}

func TestBatch_StopsWhenTheBrokerIsAway(t *testing.T) {
	n := startNode(t, noLimits)
	n.broker.away.Store(true)
	body := n.expect(call{method: "POST", path: "/api/messages", credential: shopKey,
		body: "[" + strings.Repeat(`{"channels":["log:a"],"data":1},`, 99) + `{"channels":["log:b"],"data":1}]`}, 503, `"unavailable"`)
	if got := strings.Count(body, `"unavailable"`); got != 101 { // once for the body and once for each message
		t.Errorf("%d errors, want 101", got)
	}
	if tried := n.broker.tried.Load(); tried > 2 {
		t.Errorf("tried %d times, want once for each channel at most", tried)
	}
}

func TestBatch_MalformedPublishesNothing(t *testing.T) {
	n := startNode(t, noLimits)
	good := `{"channels":["log:a"],"data":1}`
	for _, bad := range []string{
		"", "null-", "{}", `"x"`, "[1]", `[` + good + `,{"channels":["log:a"]}]`,
		`[` + good + `,{"data":1}]`, `[` + good + `,{"channels":[],"data":1}]`,
		`[` + good + `,{"channels":["log:a"],"data":1,"text":"x"}]`,
		`[` + good + `,{"channels":["log:a"],"binary":"!"}]`, "[" + good + "] x", "[\"\xff\"]",
	} {
		n.expect(call{method: "POST", path: "/api/messages", credential: shopKey, body: bad}, 400, "bad_request")
	}
	many := strings.Repeat(`"log:a",`, 1000) + `"log:a"`
	n.expect(call{method: "POST", path: "/api/messages", credential: shopKey, body: `[{"channels":[` + many + `],"data":1}]`}, 413, "too_large")
	n.expect(call{method: "POST", path: "/api/messages", credential: shopKey, body: strings.Repeat(" ", 8<<20+1)}, 413, "too_large")
	if got := n.history("log:a", ""); len(got) != 0 {
		t.Errorf("published all the same: %q", got)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	n := startNode(t, noLimits)
	for _, path := range []string{"/api/", "/api/nothing", "/api/channels/a", "/api/channels/a/b/messages"} {
		n.expect(call{method: "GET", path: path, credential: shopKey}, 404, "not_found")
	}
	status, body, header := n.do(call{method: "PUT", path: "/api/channels/a/messages", credential: shopKey})
	if status != 405 || header.Get("Allow") != "GET, HEAD, POST, DELETE" || !strings.Contains(body, "bad_request") {
		t.Errorf("PUT: %d %s, Allow %q", status, body, header.Get("Allow"))
	}
}
