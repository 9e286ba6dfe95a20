package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tidegate/gateway"
)

// wayIn is a way in which a text, such as a name or JSON, reaches a node. It returns the
// code of the refusal, or "".
type wayIn func(t *testing.T, p *process, text string) gateway.Code

const waysInConfig = pusherApp + `
channels: [{match: "*", subscribe: anyone, publish: anyone, presence: true, history: {size: 10}}]
limits: {commands_per_second: 0}
auth: {jwt: {secret: ` + tokenSecret + `}, api_keys: [{name: shop, key: ` + backendKey + `}]}
`

// byAPI makes a request with an API key. In the body, NAME stands for the text as a JSON
// string, and VALUE for the unchanged text; in the target, NAME stands for the escaped text.
func byAPI(method, target, body string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		backend := visitor{"backend", backendKey}
		return request(t, p, backend, byHeader, method, strings.ReplaceAll(target, "NAME", url.PathEscape(text)), filledIn(body, text))
	}
}

func filledIn(body, text string) string {
	quoted, _ := json.Marshal(text) // cannot fail for a string
	return strings.NewReplacer("NAME", string(quoted), "VALUE", text).Replace(body)
}

// byNative sends a command over /ws.
func byNative(command, answer string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		return ask(t, openNative(t, p, visitor{}, byHeader), filledIn(command, text), answer)
	}
}

// byCentrifuge connects and sends a command with the id 2.
func byCentrifuge(command string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		c, _ := dialAs(t, p, visitor{}, byHeader, "/connection/websocket")
		say(t, c, websocket.MessageText, `{"id":1,"connect":{}}`)
		hear(t, c)
		say(t, c, websocket.MessageText, filledIn(command, text))
		for {
			_, said, err := c.Read(t.Context())
			if closed := (websocket.CloseError{}); errors.As(err, &closed) && closed.Code == 3501 {
				return gateway.BadRequest
			}
			must(t, err)
			for line := range strings.Lines(string(said)) {
				var reply struct{ ID, Error json.RawMessage }
				if json.Unmarshal([]byte(line), &reply) == nil && string(reply.ID) == "2" {
					return ofCentrifuge(line)
				}
			}
		}
	}
}

func ofCentrifuge(reply string) gateway.Code {
	if strings.Contains(reply, `"code":107`) {
		return gateway.BadRequest
	}
	return ""
}

// byCentrifugeAPI calls a method of Centrifuge's server API.
func byCentrifugeAPI(method, body string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.public("/api/"+method), strings.NewReader(filledIn(body, text)))
		must(t, err)
		r.Header.Set("X-API-Key", backendKey)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		switch {
		case err == nil && answer.StatusCode == http.StatusBadRequest:
			return gateway.BadRequest
		case err != nil || answer.StatusCode != http.StatusOK:
			t.Fatalf("%s: %v, %s", answer.Status, err, said)
		}
		return ofCentrifuge(string(said))
	}
}

// byPusher sends an event, which is answered by want or by an error.
func byPusher(event, want string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		c, _ := dialAs(t, p, visitor{}, byHeader, "/app/key?protocol=7")
		hear(t, c)
		say(t, c, websocket.MessageText, filledIn(event, text))
		switch _, said := hear(t, c); {
		case strings.Contains(said, want):
			return ""
		case strings.Contains(said, "error"):
			return gateway.BadRequest
		default:
			t.Fatalf("heard %s", said)
			return ""
		}
	}
}

// byToken uses a token with the claims.
func byToken(claims string) wayIn {
	return func(t *testing.T, p *process, text string) gateway.Code {
		token := forgeToken(filledIn(claims, text))
		return request(t, p, visitor{"", token}, byHeader, http.MethodGet, "/api/channels/c/messages", "")
	}
}

func forgeToken(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(tokenSecret))
	io.WriteString(mac, text)
	return text + "." + encode(mac.Sum(nil))
}

var channelsIn = map[string]wayIn{
	"native subscribe":   byNative(`{"type":"subscribe","id":7,"channel":NAME}`, "subscribed"),
	"native unsubscribe": byNative(`{"type":"unsubscribe","id":7,"channel":NAME}`, "unsubscribed"),
	"native publish":     byNative(`{"type":"publish","id":7,"channel":NAME,"data":1}`, "published"),
	"native presence":    byNative(`{"type":"presence","id":7,"channel":NAME}`, "presence"),
	"native history":     byNative(`{"type":"history","id":7,"channel":NAME}`, "history"),
	"raw": func(t *testing.T, p *process, text string) gateway.Code {
		_, code := dialAs(t, p, visitor{}, byHeader, "/raw/"+url.PathEscape(text))
		return code
	},
	"events":         byAPI("GET", "/events?channel=NAME", ""),
	"poll":           byAPI("GET", "/poll?wait=0s&channel=NAME", ""),
	"API publish":    byAPI("POST", "/api/channels/NAME/messages", "1"),
	"API history":    byAPI("GET", "/api/channels/NAME/messages", ""),
	"API clear":      byAPI("DELETE", "/api/channels/NAME/messages", ""),
	"API presence":   byAPI("GET", "/api/channels/NAME/presence", ""),
	"API batch":      byAPI("POST", "/api/messages", `[{"channels":[NAME],"data":1}]`),
	"API trace":      byAPI("POST", "/api/channels/NAME/traces", `{"data":1,"wait":"0s"}`),
	"API explain":    byAPI("POST", "/api/explain", `{"channel":NAME}`),
	"API subscribe":  byAPI("POST", "/api/users/alice/channels/NAME", ""),
	"API leave":      byAPI("DELETE", "/api/users/alice/channels/NAME", ""),
	"claim channels": byToken(`{"channels":[NAME]}`),

	"Centrifuge subscribe":       byCentrifuge(`{"id":2,"subscribe":{"channel":NAME}}`),
	"Centrifuge publish":         byCentrifuge(`{"id":2,"publish":{"channel":NAME,"data":1}}`),
	"Centrifuge presence":        byCentrifuge(`{"id":2,"presence":{"channel":NAME}}`),
	"Centrifuge history":         byCentrifuge(`{"id":2,"history":{"channel":NAME}}`),
	"Centrifuge API publish":     byCentrifugeAPI("publish", `{"channel":NAME,"data":1}`),
	"Centrifuge API subscribe":   byCentrifugeAPI("subscribe", `{"channel":NAME,"user":"alice"}`),
	"Centrifuge API unsubscribe": byCentrifugeAPI("unsubscribe", `{"channel":NAME,"user":"alice"}`),
	"Centrifuge API presence":    byCentrifugeAPI("presence", `{"channel":NAME}`),
	"Centrifuge API history":     byCentrifugeAPI("history", `{"channel":NAME}`),
	"Pusher subscribe":           byPusher(`{"event":"pusher:subscribe","data":{"channel":NAME}}`, "subscription_succeeded"),
}

var usersIn = map[string]wayIn{
	"API sessions":              byAPI("GET", "/api/users/NAME/sessions", ""),
	"API disconnect":            byAPI("DELETE", "/api/users/NAME/sessions", ""),
	"API subscribe":             byAPI("POST", "/api/users/NAME/channels/c", ""),
	"API leave":                 byAPI("DELETE", "/api/users/NAME/channels/c", ""),
	"API ban":                   byAPI("POST", "/api/bans", `{"user":NAME}`),
	"API revoke":                byAPI("POST", "/api/revocations", `{"user":NAME}`),
	"API explain":               byAPI("POST", "/api/explain", `{"channel":"c","user":NAME}`),
	"API trace, recipient":      byAPI("POST", "/api/channels/c/traces", `{"data":1,"wait":"0s","recipient":NAME}`),
	"API trace, publisher":      byAPI("POST", "/api/channels/c/traces", `{"data":1,"wait":"0s","publisher":{"user":NAME}}`),
	"claim sub":                 byToken(`{"sub":NAME}`),
	"Centrifuge API subscribe":  byCentrifugeAPI("subscribe", `{"channel":"c","user":NAME}`),
	"Centrifuge API disconnect": byCentrifugeAPI("disconnect", `{"user":NAME}`),
}

var jsonIn = map[string]wayIn{
	"native publish":         byNative(`{"type":"publish","id":7,"channel":"c","data":VALUE}`, "published"),
	"native unknown":         byNative(`{"type":"presence","id":7,"channel":"c","unknown":VALUE}`, "presence"),
	"API publish":            byAPI("POST", "/api/channels/c/messages", "VALUE"),
	"API batch":              byAPI("POST", "/api/messages", `[{"channels":["c"],"data":VALUE}]`),
	"Centrifuge publish":     byCentrifuge(`{"id":2,"publish":{"channel":"c","data":VALUE}}`),
	"Centrifuge API publish": byCentrifugeAPI("publish", `{"channel":"c","data":VALUE}`),
	"claim info":             byToken(`{"sub":"alice","info":VALUE}`),
}

// A name that looks like another one, or JSON that would harm its readers, is refused
// in every way in.
func TestWaysIn_RefuseWhatNoneMayLetIn(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil, "--config", write(t, "tidegate.yaml", waysInConfig))
	nested := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }
	for _, c := range []struct {
		of   map[string]wayIn
		good string
		bad  []string
	}{
		{channelsIn, "room", badNames},
		{usersIn, "carol", badNames},
		{jsonIn, nested(100), []string{nested(101)}},
	} {
		nth := 0
		for name, comes := range c.of {
			nth++
			t.Run(name, func(t *testing.T) {
				good := c.good
				if good == "carol" { // a user of its own, because some ways ban the user
					good += strconv.Itoa(nth)
				}
				if got := comes(t, p, good); got == gateway.BadRequest || got == gateway.Unauthenticated {
					t.Errorf("%.10q is refused: %s", good, got)
				}
				for _, bad := range c.bad {
					if got := comes(t, p, bad); got != gateway.BadRequest && got != gateway.Unauthenticated {
						t.Errorf("%.20q: %q, want a refusal", bad, got)
					}
				}
			})
		}
	}
	if panics := p.metric("tidegate_panics_total"); panics != 0 {
		t.Errorf("%v panics", panics)
	}
}

var badNames = []string{
	"a\u200bb",     // zero width space
	"a\u202eb",     // right-to-left override
	"a\u2066b",     // left-to-right isolate
	"a\ufeffb",     // zero width no-break space
	"a\u00adb",     // soft hyphen
	"a\U000e0041b", // tag
	"a\u0001b", "a\u007fb", "a\u0085b", "a b", "a\u00a0b", "a\u2028b",
	strings.Repeat("x", 256),
}
