//go:build upgrade

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway/client"

	"github.com/coder/websocket"
)

// TestUpgrade replaces three nodes of an earlier version by nodes of this one, one by one
// on one Redis and under load, and then back again. UPGRADE_FROM is a commit of this
// repository, or the path of a binary:
//
//	UPGRADE_FROM=v1.2.3 go test -tags upgrade ./cmd/tidegate -run TestUpgrade -v
//
// While the versions differ, nodes must agree on who published what and where, who is present,
// and who must be disconnected. No client may miss a message without notice, or get one twice.
func TestUpgrade(t *testing.T) {
	from := os.Getenv("UPGRADE_FROM")
	if from == "" {
		t.Fatal("set UPGRADE_FROM to a former version")
	}
	former, this := programOf(t, from), os.Args[0]
	t.Run("forward", func(t *testing.T) { tryUpgrade(t, former, this) })
	t.Run("back", func(t *testing.T) { tryUpgrade(t, this, former) })
}

// programOf returns the path of tidegate built at a commit, or version itself if it is a path.
func programOf(t *testing.T, version string) (path string) {
	t.Helper()
	if path, err := filepath.Abs(version); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	source := t.TempDir()
	path = filepath.Join(source, "program")
	build := exec.CommandContext(t.Context(), "bash", "-c",
		`set -o pipefail; git -C "$0" archive "$1" | tar -x -C "$2" && cd "$2" && go build -o "$3" ./cmd/tidegate`,
		repository, version, source, path)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", version, err, out)
	}
	return path
}

func tryUpgrade(t *testing.T, from, to string) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	began := time.Now()
	tr := &trial{t: t, program: from, rules: upgradeRules, redis: []*brokertest.RedisServer{server}}
	tr.begin(server.URL(), server.URL(), server.URL())
	loadBalanced(tr)
	tr.forgetCalls()
	tr.program = to
	for i := range tr.nodes {
		tr.replace(i)
		tr.flows(10)
		tr.agree(fmt.Sprint("room:", i))
	}
	tr.finish()
	(&fault{name: "replace three nodes", live: told}).judge(tr, time.Since(began))
}

const upgradeKey = "the-key-of-the-shop-and-no-other"

const upgradeSecret = "0123456789abcdef0123456789abcdef"

const upgradeRules = `
channels:
  - {match: "kept:*", subscribe: anyone, publish: anyone, history: {size: 10000}}
  - {match: "live:*", subscribe: anyone, publish: anyone}
  - {match: "room:*", subscribe: anyone, publish: anyone, presence: true, history: {size: 100}}
limits: {commands_per_second: 0}
drain: {window: 2s}
auth: {api_keys: [{name: shop, key: ` + upgradeKey + `}], jwt: {secret: ` + upgradeSecret + `}}
`

// agreement is a room with a user on every node, and the disagreements found there.
type agreement struct {
	*trial
	ctx   context.Context
	room  string
	users []*client.Client
	hear  []*client.Subscription
	wrong []string

	guests []*websocket.Conn
}

// agree makes users on all nodes publish to each other, and asks every node about them. It
// allows several attempts, because the machine may be busy.
func (tr *trial) agree(room string) {
	tr.t.Helper()
	const attempts = 5
	for attempt := range attempts {
		wrong := tr.tryToAgree(fmt.Sprintf("%s:%d", room, attempt))
		if len(wrong) == 0 {
			return
		}
		if attempt == attempts-1 {
			tr.t.Errorf("the nodes do not agree:\n%s", strings.Join(wrong, "\n"))
		}
	}
}

func (tr *trial) tryToAgree(room string) (wrong []string) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.ctx, patience)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	a := &agreement{trial: tr, ctx: ctx, room: room}
	for i, n := range tr.nodes {
		token, _ := makeToken(tr.t, "--config", tr.configuration(), "--user", userOn(i))
		c := client.New(client.Config{URL: n.public("/ws"), Token: client.StaticToken(token)})
		running.Go(func() { _ = c.Run(ctx) })
		a.users = append(a.users, c)
	}
	defer a.leave()
	for _, step := range []func(){a.subscribe, a.publish, a.publishOnce, a.visit, a.tellTheSame, a.disconnect} {
		if step(); len(a.wrong) > 0 {
			break
		}
	}
	return a.wrong
}

func (a *agreement) note(format string, values ...any) {
	a.wrong = append(a.wrong, fmt.Sprintf(format, values...))
}

func userOn(node int) string { return fmt.Sprint("user-", node) }

func (a *agreement) subscribe() {
	for i, c := range a.users {
		s, err := c.Subscribe(a.ctx, a.room, client.SubscribeOptions{})
		if err != nil {
			a.note("subscribe on node %d: %v", i, err)
		}
		a.hear = append(a.hear, s)
	}
}

func (a *agreement) publish() {
	for i, c := range a.users {
		said := client.Message{Channel: a.room, Payload: []byte(`"said"`), Event: "say"}
		cursor, err := c.Publish(a.ctx, said)
		if err != nil {
			a.note("publish on node %d: %v", i, err)
			return
		}
		said.User, said.Cursor = userOn(i), cursor
		a.allHear(said)
	}
}

// publishOnce publishes through every node with the same key, which must result in one message.
func (a *agreement) publishOnce() {
	var told struct{ Cursor string }
	path := "/api/channels/" + a.room + "/messages"
	if err := json.Unmarshal([]byte(a.askAll(http.MethodPost, path, `"once"`)), &told); err != nil {
		a.note("POST %s: %v", path, err)
		return
	}
	a.allHear(client.Message{Payload: []byte(`"once"`), Cursor: told.Cursor})
}

// visit connects a client of the Centrifuge protocol to each node and publishes with an
// info for the room. All nodes must report that info as the client's, whether or not they
// know that it has another one elsewhere.
func (a *agreement) visit() {
	const info = `{"role":"guest"}`
	for i, n := range a.nodes {
		user := fmt.Sprint("guest-", i)
		conn, _, err := websocket.Dial(a.ctx, strings.Replace(n.public("/connection/websocket"), "http", "ws", 1), nil)
		if err != nil {
			a.note("a guest comes to node %d: %v", i, err)
			return
		}
		a.guests = append(a.guests, conn)
		commands := fmt.Sprintf(`{"id":1,"connect":{"token":%q}}
{"id":2,"subscribe":{"channel":%q,"token":%q}}
{"id":3,"publish":{"channel":%[2]q,"data":%[4]q}}`,
			signToken(`{"sub":"`+user+`","info":{"name":"`+user+`"}}`), a.room, signToken(`{"sub":"`+user+`","channel":"`+a.room+`","info":`+info+`}`), user)
		if err := conn.Write(a.ctx, websocket.MessageText, []byte(commands)); err != nil {
			a.note("a guest of node %d: %v", i, err)
		}
		for k, s := range a.hear {
			event, err := s.Receive(a.ctx)
			got, ok := event.(client.Message)
			if err != nil || !ok || got.User != user || string(got.Info) != info || string(got.Payload) != `"`+user+`"` {
				a.note("node %d tells %+v, %v of the guest of node %d", k, event, err, i)
			}
		}
	}
}

func (a *agreement) leave() {
	for _, conn := range a.guests {
		conn.CloseNow()
	}
}

// signToken returns a token with the claims, signed with the secret of upgradeRules.
func signToken(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	sum := hmac.New(sha256.New, []byte(upgradeSecret))
	sum.Write([]byte(signed))
	return signed + "." + encode(sum.Sum(nil))
}

func (a *agreement) allHear(want client.Message) {
	for i, s := range a.hear {
		event, err := s.Receive(a.ctx)
		got, ok := event.(client.Message)
		if err != nil || !ok || string(got.Payload) != string(want.Payload) || got.User != want.User || got.Event != want.Event || got.Cursor != want.Cursor {
			a.note("node %d tells %+v, %v; want %+v", i, event, err, want)
		}
	}
}

// tellTheSame asks every node who is on the channel, what was published there, and
// where each user is.
func (a *agreement) tellTheSame() {
	present := a.askAll(http.MethodGet, "/api/channels/"+a.room+"/presence", "")
	if n := strings.Count(present, `{"role":"guest"}`); n != len(a.guests) {
		a.note("%d guests are present: %s", n, present)
	}
	a.askAll(http.MethodGet, "/api/channels/"+a.room+"/messages", "")
	a.askAll(http.MethodGet, "/api/channels?match="+a.room, "")
	for i := range a.nodes {
		a.askAll(http.MethodGet, "/api/users/"+userOn(i)+"/sessions", "")
		if !strings.Contains(present, userOn(i)) {
			a.note("%s is not present: %s", userOn(i), present)
		}
	}
}

// disconnect makes each node disconnect the user of the next one.
func (a *agreement) disconnect() {
	for i, n := range a.nodes {
		user := userOn((i + 1) % len(a.nodes))
		if answer := a.ask(n, http.MethodDelete, "/api/users/"+user+"/sessions", ""); !strings.Contains(answer, `"sessions":1}`) {
			a.note("node %d, asked to disconnect %s: %s", i, user, answer)
		}
	}
}

// askAll sends the same request to every node and returns the answer of the first.
func (a *agreement) askAll(method, path, body string) (first string) {
	for i, n := range a.nodes {
		answer := a.ask(n, method, path, body)
		if i == 0 {
			first = answer
		}
		if answer != first {
			a.note("%s %s: node %d says %s, the first one %s", method, path, i, answer, first)
		}
	}
	return first
}

// ask calls a node's API as a backend. The idempotency key is the same for all calls of a room.
func (a *agreement) ask(n *process, method, path, body string) (answer string) {
	request, err := http.NewRequestWithContext(a.ctx, method, n.public(path), strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Close = true
	request.Header.Set("Authorization", "Bearer "+upgradeKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "once")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		a.note("%s %s: %s %v", method, path, response.Status, err)
	}
	return string(content)
}
