package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/gateway/api"
	"tidegate/gateway/auth"
)

const readLog = "/api/channels/log:a/messages"

// deny requests a ban or a revocation and returns its id.
func (n *node) deny(path, body string) (id string) {
	n.t.Helper()
	var answer struct{ ID string }
	must(n.t, json.Unmarshal([]byte(n.expect(call{method: "POST", path: path, body: body, credential: shopKey}, 200, `"id"`)), &answer))
	return answer.ID
}

func TestBans_OfAUser(t *testing.T) {
	n := startNode(t, noLimits)
	alice, bob := token(t, auth.Claims{User: "alice"}), token(t, auth.Claims{User: "bob"})
	id := n.deny("/api/bans", `{"user":"alice","for":"1h","reason":"spam"}`)
	n.expect(call{method: "GET", path: readLog, credential: alice}, 403, "spam")
	n.expect(call{method: "GET", path: readLog, credential: bob}, 200, "")
	n.expect(call{method: "GET", path: readLog, credential: shopKey}, 200, "")
	n.expect(call{method: "GET", path: "/api/bans", credential: shopKey}, 200, `"user":"alice"`)
	n.expect(call{method: "GET", path: "/api/bans", credential: shopKey}, 200, `"by":"shop"`)
	n.expect(call{method: "DELETE", path: "/api/bans/" + id, credential: shopKey}, 204, "")
	n.expect(call{method: "GET", path: readLog, credential: alice}, 200, "")
	n.expect(call{method: "DELETE", path: "/api/bans/" + id, credential: shopKey}, 404, "not_found")
}

func TestBans_OfAnAddress(t *testing.T) {
	n := startNode(t, noLimits)
	n.deny("/api/bans", `{"address":"127.0.0.0/8"}`)
	n.expect(call{method: "GET", path: readLog}, 403, "banned")
	n.expect(call{method: "GET", path: readLog, credential: shopKey}, 200, "") // backends are never denied
}

// An address matches the clients that have it, however it is written.
func TestBans_WaysToWriteAnAddress(t *testing.T) {
	n := startNode(t, noLimits)
	for _, text := range []string{"127.0.0.1", "127.0.0.1/32", "::ffff:127.0.0.1", "::ffff:127.0.0.1/128", "::ffff:127.0.0.0/104", "0.0.0.0/0"} {
		id := n.deny("/api/bans", `{"address":"`+text+`"}`)
		n.expect(call{method: "GET", path: readLog}, 403, "banned")
		n.expect(call{method: "DELETE", path: "/api/bans/" + id, credential: shopKey}, 204, "")
	}
	n.deny("/api/bans", `{"address":"::/0"}`) // only IPv6
	n.expect(call{method: "GET", path: readLog}, 200, "")
}

func TestRevocations(t *testing.T) {
	n := startNode(t, noLimits)
	now := time.Now()
	one := token(t, auth.Claims{User: "alice", ID: "one", IssuedAt: now})
	two := token(t, auth.Claims{User: "alice", ID: "two", IssuedAt: now})
	newer := token(t, auth.Claims{User: "alice", IssuedAt: now.Add(2 * time.Second)})
	id := n.deny("/api/revocations", `{"token":"one"}`)
	n.expect(call{method: "GET", path: readLog, credential: one}, 401, "revoked")
	n.expect(call{method: "GET", path: readLog, credential: two}, 200, "")
	n.expect(call{method: "DELETE", path: "/api/revocations/" + id, credential: shopKey}, 204, "")
	n.expect(call{method: "GET", path: readLog, credential: one}, 200, "")

	n.deny("/api/revocations", `{"user":"alice"}`)
	n.expect(call{method: "GET", path: readLog, credential: two}, 401, "revoked")
	n.expect(call{method: "GET", path: readLog, credential: newer}, 200, "")
	n.expect(call{method: "GET", path: "/api/revocations", credential: shopKey}, 200, `"user":"alice"`)
	n.expect(call{method: "GET", path: "/api/bans", credential: shopKey}, 200, `{"bans":[]}`)
}

func TestDenials_BadInput(t *testing.T) {
	n := startNode(t, noLimits)
	for body, want := range map[string]string{
		`{}`:                               "one of user and address",
		`{"user":"a","address":"::1"}`:     "one of user and address",
		`{"address":"here"}`:               "no address",
		`{"address":"192.0.2.7/24"}`:       "192.0.2.0/24",
		`{"user":"a\u200b"}`:               "nobody can be",
		`{"user":"a b"}`:                   "nobody can be",
		`{"user":"a","for":"soon"}`:        "90m",
		`{"user":"a","for":"-1h"}`:         "a time above 0",
		`{"user":"a","untill":"tomorrow"}`: "untill",
		`{"user":"a"} {}`:                  "more than one",
		`{"user":"a"}}`:                    "more than one",
		`nonsense`:                         "",
		`{"user":"a","reason":"` + strings.Repeat("x", 101) + `"}`: "100",
	} {
		n.expect(call{method: "POST", path: "/api/bans", body: body, credential: shopKey}, 400, want)
	}
	for body, want := range map[string]string{
		`{}`:                                    "one of token",
		`{"token":"a","before":1}`:              "before goes with user",
		`{"user":"a","before":-62135596800000}`: "milliseconds since 1970", // the zero time.Time, which would ban the user
		`{"user":"a","before":9223372036854775807}`: "milliseconds since 1970",
	} {
		n.expect(call{method: "POST", path: "/api/revocations", body: body, credential: shopKey}, 400, want)
	}
}

// Go's JSON decoder would put U+FFFD in the place of what is not UTF-8, and so ban somebody else.
func TestDenials_RefuseWhatIsNotUTF8(t *testing.T) {
	n := startNode(t, noLimits)
	for _, path := range []string{"/api/bans", "/api/revocations", "/api/explain"} {
		n.expect(call{method: "POST", path: path, body: "{\"user\":\"a\xff\"}", credential: shopKey}, 400, "UTF-8")
	}
}

func TestScopedKey_IsGoodForItsChannelsAlone(t *testing.T) {
	n := startNode(t, noLimits)
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{"GET", readLog, 200},
		{"POST", readLog, 403},
		{"POST", "/api/messages", 403},
		{"GET", "/api/channels/room:1/messages", 403},
		{"DELETE", readLog, 403},
		{"GET", "/api/channels", 403},
		{"GET", "/api/nodes", 403},
		{"GET", "/api/probe", 403},
		{"POST", "/api/bans", 403},
		{"POST", "/api/explain", 403},
		{"POST", "/api/channels/log:a/traces", 403},
		{"DELETE", "/api/users/alice/sessions", 403},
	} {
		n.expect(call{method: test.method, path: test.path, credential: logKey, body: `[{"channels":["log:a"],"data":1}]`}, test.want, "")
	}
}

// syncBuffer is a log that is safe for concurrent use.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAudit_SaysWhatKeysDo(t *testing.T) {
	for audit, want := range map[api.Audit]int{api.AuditChanges: 2, api.AuditAll: 5, api.AuditOff: 0} {
		var log syncBuffer
		n := startNodeFor(t, noLimits, api.Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Audit: audit})
		n.publish("open:a", "", "1")
		n.expect(call{method: "GET", path: readLog, credential: shopKey}, 200, "")
		n.expect(call{method: "GET", path: readLog}, 200, "") // no key
		n.expect(call{method: http.MethodDelete, path: "/api/users/alice/sessions", credential: shopKey}, 200, "")
		n.deny("/api/bans", `{"user":"alice"}`)
		n.explain(`{"channel":"open:a"}`)
		lines := log.String()
		if got := strings.Count(lines, "msg=audit"); got != want {
			t.Errorf("%s: %d lines, want %d:\n%s", audit, got, want, lines)
		}
		if want > 0 && (!strings.Contains(lines, "key=shop") || !strings.Contains(lines, "user=alice") || !strings.Contains(lines, "denial=user-")) {
			t.Errorf("%s: %s", audit, lines)
		}
		if strings.Contains(lines, shopKey) {
			t.Error("the key itself is in the log")
		}
	}
}
