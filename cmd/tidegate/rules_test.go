package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tidegate/gateway"
	"tidegate/gateway/rules"
	"tidegate/gateway/transport"
)

const backendKey = "0123456789abcdef01234567"

// visitor is a client that wants to do something.
type visitor struct {
	name, token string
}

// carrier is how a visitor sends its token: in the header, in the query, or in a first message.
type carrier string

const (
	byHeader  carrier = "header"
	byQuery   carrier = "query"
	byMessage carrier = "message" // of the native protocol alone
)

func visitors(t *testing.T) []visitor {
	user, _ := makeToken(t, "--secret", tokenSecret, "--user", "alice")
	named, _ := makeToken(t, "--secret", tokenSecret, "--user", "bob",
		"--subscribe", "*token:*", "--publish", "*token:*")
	return []visitor{{"anonymous", ""}, {"user", user}, {"named", named}, {"backend", backendKey}}
}

// verdictOn returns what a rule means for a visitor: the code of the refusal, or "".
func verdictOn(v visitor, who rules.Who) gateway.Code {
	switch {
	case v.name == "backend", who == rules.Anyone,
		who == rules.Authenticated && v.name != "anonymous",
		who == rules.Token && v.name == "named":
		return ""
	case v.name == "anonymous":
		return gateway.Unauthenticated
	}
	return gateway.Forbidden
}

// way is one way to do something. It returns the code of the refusal, or "".
type way struct {
	name string
	do   func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code
	by   []carrier
}

var ways = map[gateway.Action][]way{
	gateway.ToSubscribe: {
		{"/ws", subscribeNative, []carrier{byHeader, byQuery, byMessage}},
		{"/raw", subscribeRaw, []carrier{byHeader, byQuery}},
		{"/events", func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
			return request(t, p, v, by, http.MethodGet, "/events?channel="+url.QueryEscape(channel), "")
		}, []carrier{byHeader, byQuery}},
		{"/poll", func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
			return request(t, p, v, by, http.MethodGet, "/poll?wait=0s&channel="+url.QueryEscape(channel), "")
		}, []carrier{byHeader, byQuery}},
		{"/api", func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
			return request(t, p, v, by, http.MethodGet, "/api/channels/"+channel+"/messages", "")
		}, []carrier{byHeader, byQuery}},
	},
	gateway.ToPublish: {
		{"/ws", publishNative, []carrier{byHeader, byQuery, byMessage}},
		{"/raw", publishRaw, []carrier{byHeader, byQuery}},
		{"/api", func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
			return request(t, p, v, by, http.MethodPost, "/api/channels/"+channel+"/messages", "1")
		}, []carrier{byHeader, byQuery}},
		{"/api/messages", func(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
			return request(t, p, v, by, http.MethodPost, "/api/messages", `[{"channels":["`+channel+`"],"data":1}]`)
		}, []carrier{byHeader, byQuery}},
	},
}

// A rule has the same effect for every client and in every way.
func TestRules_EveryTransportGivesTheSameVerdict(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("channels:\n")
	classes := []rules.Who{rules.Anyone, rules.Authenticated, rules.Token, rules.Nobody}
	for _, who := range classes {
		fmt.Fprintf(&text, "  - {match: 'subscribe:%[1]s:*', subscribe: %[1]s, publish: nobody, history: {size: 10}}\n", who)
		fmt.Fprintf(&text, "  - {match: 'publish:%[1]s:*', subscribe: anyone, publish: %[1]s}\n", who)
	}
	file := t.TempDir() + "/tidegate.yaml"
	put(t, file, text.String()+"auth: {jwt: {secret: "+tokenSecret+"}, api_keys: [{name: shop, key: "+backendKey+"}]}\n"+
		"limits: {commands_per_second: 0}\n")
	p := startReady(t, nil, "--config", file)
	for _, v := range visitors(t) {
		for action, ways := range ways {
			for _, who := range append(classes[:len(classes):len(classes)], "unmatched") {
				for _, w := range ways {
					for _, by := range w.by {
						name := fmt.Sprintf("%s %ss %s by %s, token in the %s", v.name, action, who, w.name, by)
						t.Run(name, func(t *testing.T) {
							channel := fmt.Sprintf("%s:%s:x", action, who)
							want := verdictOn(v, who)
							if who == "unmatched" && w.name == "/api" && action == gateway.ToSubscribe && want == "" {
								want = gateway.NotFound // without a rule there is no history
							}
							if who == "unmatched" && action == gateway.ToPublish && w.name == "/raw" {
								return // only a backend can publish here
							}
							if got := w.do(t, p, v, by, channel); got != want {
								t.Errorf("got %q, want %q", got, want)
							}
						})
					}
				}
			}
		}
	}
}

// show adds the visitor's token to a request.
func (v visitor) show(by carrier, target string) (string, http.Header) {
	header := http.Header{}
	switch {
	case v.token == "":
	case by == byHeader:
		header.Set("Authorization", "Bearer "+v.token)
	case by == byQuery && strings.Contains(target, "?"):
		target += "&access_token=" + v.token
	case by == byQuery:
		target += "?access_token=" + v.token
	}
	return target, header
}

// request sends an HTTP request and returns the error code of the answer. It checks that
// the status matches the code.
func request(t *testing.T, p *process, v visitor, by carrier, method, target, body string) gateway.Code {
	t.Helper()
	target, header := v.show(by, target)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel() // ends a stream
	r, err := http.NewRequestWithContext(ctx, method, p.public(target), strings.NewReader(body))
	must(t, err)
	r.Header, r.Close = header, true
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	if answer.StatusCode < 300 {
		return ""
	}
	return codeOf(t, answer)
}

// codeOf returns the error code of an HTTP answer.
func codeOf(t *testing.T, answer *http.Response) gateway.Code {
	t.Helper()
	said, err := io.ReadAll(answer.Body)
	var refusal struct {
		Error struct {
			Code    gateway.Code
			Message string
		}
	}
	if err != nil || json.Unmarshal(said, &refusal) != nil || refusal.Error.Code == "" || refusal.Error.Message == "" {
		t.Errorf("refused with %s: %q (%v), want an error with its code and what to do", answer.Status, said, err)
	}
	if want := transport.StatusOf(&gateway.Error{Code: refusal.Error.Code}); answer.StatusCode != want {
		t.Errorf("status %s with the code %q, want %d", answer.Status, refusal.Error.Code, want)
	}
	return refusal.Error.Code
}

// dialAs opens a WebSocket, or returns the code of the refusal.
func dialAs(t *testing.T, p *process, v visitor, by carrier, target string) (*websocket.Conn, gateway.Code) {
	t.Helper()
	target, header := v.show(by, target)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, answer, err := websocket.Dial(ctx, strings.Replace(p.public(target), "http", "ws", 1), &websocket.DialOptions{HTTPHeader: header})
	switch {
	case err == nil:
		t.Cleanup(func() { _ = c.CloseNow() }) // it may be closed
		return c, ""
	case answer == nil:
		t.Fatal(err)
	}
	return nil, codeOf(t, answer)
}

func openNative(t *testing.T, p *process, v visitor, by carrier) *websocket.Conn {
	t.Helper()
	c, code := dialAs(t, p, v, by, "/ws")
	if c == nil {
		t.Fatalf("refused: %s", code)
	}
	hearType(t, c, "welcome")
	if by == byMessage && v.token != "" {
		say(t, c, websocket.MessageText, `{"type":"auth","id":1,"token":"`+v.token+`"}`)
		hearType(t, c, "welcome")
	}
	return c
}

// ask sends a command and returns the code of its failure.
func ask(t *testing.T, c *websocket.Conn, command, answer string) gateway.Code {
	t.Helper()
	say(t, c, websocket.MessageText, command)
	for {
		_, text := hear(t, c)
		var frame struct {
			Type string
			ID   int
			Code gateway.Code
		}
		if err := json.Unmarshal([]byte(text), &frame); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		switch {
		case frame.ID != 7:
		case frame.Type == "error":
			return frame.Code
		case frame.Type == answer:
			return ""
		}
	}
}

func subscribeNative(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
	return ask(t, openNative(t, p, v, by), `{"type":"subscribe","id":7,"channel":"`+channel+`"}`, "subscribed")
}

func publishNative(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
	return ask(t, openNative(t, p, v, by), `{"type":"publish","id":7,"channel":"`+channel+`","data":1}`, "published")
}

func subscribeRaw(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
	_, code := dialAs(t, p, v, by, "/raw/"+channel)
	return code
}

// publishRaw publishes, and reads until it receives its own message or the connection is closed
// with 1008. The reason says whether authenticating would help.
func publishRaw(t *testing.T, p *process, v visitor, by carrier, channel string) gateway.Code {
	c, code := dialAs(t, p, v, by, "/raw/"+channel)
	if c == nil {
		t.Fatalf("the subscription was refused: %s", code)
	}
	mine := []byte(fmt.Sprint("by ", v.name, " with the token in the ", by))
	say(t, c, websocket.MessageText, string(mine))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, text, err := c.Read(ctx)
		var closed websocket.CloseError
		switch {
		case bytes.Equal(text, mine) && err == nil:
			return ""
		case errors.As(err, &closed) && int(closed.Code) == gateway.Policy.Code && strings.HasSuffix(closed.Reason, "authenticate"):
			return gateway.Unauthenticated
		case errors.As(err, &closed) && int(closed.Code) == gateway.Policy.Code:
			return gateway.Forbidden
		case err != nil:
			t.Fatal(err)
		}
	}
}
