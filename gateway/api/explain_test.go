package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tidegate/gateway/auth"
)

// explanation has the fields of an answer that the tests check.
type explanation struct {
	Who                                   string
	Banned                                string
	Rule                                  *struct{ Index int }
	Subscribe, Publish, Presence, History struct {
		Allowed   bool
		Code, Why string
	}
}

func (n *node) explain(body string) (e explanation) {
	n.t.Helper()
	must(n.t, json.Unmarshal([]byte(n.expect(call{method: "POST", path: "/api/explain", credential: shopKey, body: body}, 200, "{")), &e))
	return e
}

func TestExplain_SaysWhatDecides(t *testing.T) {
	n := startNode(t, noLimits)
	named := token(t, auth.Claims{User: "alice", Subscribe: []string{"room:*"}})
	for _, test := range []struct{ body, who, rights, why string }{
		{`{"channel":"log:a","user":"alice"}`, "the user alice", "subscribe publish history", `channels[0] (match "log:*")`},
		{`{"channel":"log:a"}`, "an anonymous client", "subscribe history", "the client is anonymous"},
		{`{"channel":"room:1","user":"alice"}`, "the user alice", "", "no token with a claim subscribe"},
		{`{"channel":"room:1","token":"` + named + `"}`, "the user alice", "subscribe history", `the token's claim subscribe has`},
		{`{"channel":"club:1","user":"alice"}`, "the user alice", "subscribe presence", "says subscribe: authenticated, and the client is the user alice"},
		{`{"channel":"else","user":"alice"}`, "the user alice", "", "no rule matches"},
		{`{"channel":"log:a","token":"` + logKey + `"}`, "the API key log", "subscribe history", "read on"},
	} {
		e := n.explain(test.body)
		var rights []string
		for _, right := range []struct {
			name    string
			allowed bool
		}{{"subscribe", e.Subscribe.Allowed}, {"publish", e.Publish.Allowed}, {"presence", e.Presence.Allowed}, {"history", e.History.Allowed}} {
			if right.allowed {
				rights = append(rights, right.name)
			}
		}
		why := e.Subscribe.Why + e.Publish.Why
		if e.Who != test.who || strings.Join(rights, " ") != test.rights || !strings.Contains(why, test.why) {
			t.Errorf("%s: %+v", test.body, e)
		}
	}
}

func TestExplain_RefusesWhatIsNoQuestion(t *testing.T) {
	n := startNode(t, noLimits)
	for body, want := range map[string]string{
		`{"channel":"a b"}`:                          "space",
		`{"channel":"a","user":"alice","token":"x"}`: "one of user and token",
		`{"channel":"a","token":"no.such.token"}`:    "the token in the body",
		`{"channel":"a","users":"alice"}`:            "users",
		`{"user":"alice"}`:                           "the channel is missing",
	} {
		n.expect(call{method: "POST", path: "/api/explain", credential: shopKey, body: body}, 400, want)
	}
	n.expect(call{method: "POST", path: "/api/explain", body: `{"channel":"log:a"}`}, 401, "API key")
}

func TestTrace_SaysWhatBecameOfAMessage(t *testing.T) {
	n := startNode(t, noLimits)
	s := n.open("alice", "log:a") // without a connection, what is sent to it waits
	for _, test := range []struct{ body, want string }{
		{`{"data":1,"recipient":"alice","wait":"0s"}`, `"waiting":1`},
		{`{"text":"x","recipient":"alice","wait":"0s"}`, `{"session":"` + s.ID() + `","user":"alice","protocol":"native","fate":"waiting"}`},
		{`{"data":1,"publisher":{"user":"bob"},"wait":"0s"}`, `"publish":{"allowed":true,"why":"channels[0] (match \"log:*\") says publish: authenticated, and the client is the user bob"}`},
		{`{"data":1,"publisher":{"token":"` + logKey + `"}}`, `"error":{"code":"forbidden"`},
	} {
		n.expect(call{method: "POST", path: "/api/channels/log:a/traces", credential: shopKey, body: test.body}, 200, test.want)
	}
	if got := len(n.history("log:a", "")); got != 3 {
		t.Errorf("%d messages were published, want 3", got)
	}
	for body, want := range map[string]string{
		`{}`: "one of data, text and binary", `{"data":1,"text":"x"}`: "one of", `{"data":1,"wait":"long"}`: "wait is",
		`{"data":"` + "\xff" + `"}`: "UTF-8",
	} {
		n.expect(call{method: "POST", path: "/api/channels/log:a/traces", credential: shopKey, body: body}, 400, want)
	}
}

// TestTrace_NobodyConfirms traces while the broker is away, so that other nodes cannot
// be asked, either.
func TestTrace_NobodyConfirms(t *testing.T) {
	n := startNode(t, noLimits)
	n.broker.away.Store(true)
	n.expect(call{method: "POST", path: "/api/channels/log:a/traces", credential: shopKey, body: `{"data":1}`}, 503, "unavailable")
}
