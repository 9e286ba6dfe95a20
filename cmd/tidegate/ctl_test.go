package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// operate runs a tidegate command as a process and returns its output and exit code.
func operate(t *testing.T, environ []string, args ...string) (out, details string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append([]string{"BE_TIDEGATE=1", "GORACE=atexit_sleep_ms=0"}, environ...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

const operatedRules = `
auth: {api_keys: [{name: shop, key: the-key-of-the-shop-and-no-other}], jwt: {secret: 0123456789abcdef0123456789abcdef}}
channels:
  - {match: "chat:*", subscribe: authenticated, publish: token, presence: true, history: {size: 10}}
`

// TestOperators_LookAfterACluster goes through the work of an operator, step by step.
func TestOperators_LookAfterACluster(t *testing.T) {
	t.Parallel()
	file := write(t, "tidegate.yaml", operatedRules)
	node := startReady(t, nil, "--config", file)
	environ := []string{"TIDEGATE_URL=" + node.public(""), "TIDEGATE_API_KEY=the-key-of-the-shop-and-no-other"}
	token, _, _ := operate(t, nil, "token", "--config", file, "--user", "alice")
	listener := start(t, []string{"TIDEGATE_URL=" + node.public(""), "TIDEGATE_TOKEN=" + strings.TrimSpace(token)}, "subscribe", "chat:lobby")

	expect := func(want string, args ...string) {
		t.Helper()
		out, details, code := operate(t, environ, args...)
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("tidegate %q: exit code %d, printed %q and %q, want %s", args, code, out, details, want)
		}
	}
	host, err := os.Hostname()
	must(t, err)
	awaitOnChannel(t, environ, "chat:lobby")
	expect(`^\w+:1\n$`, "publish", "chat:lobby", "here")
	listener.waitFor("here")
	expect(`(?m)^NODE +HOST +VERSION +SESSIONS +UP\n\w+ +`+regexp.QuoteMeta(host)+` +\S+ +1 +\d+s$`, "nodes")
	expect(`(?m)^chat:lobby +1 +1$`, "channels", "chat:*")
	expect(`^No such channel has subscribers\.\n$`, "channels", "other:*")
	expect(`^The channel has no members\.\n$`, "presence", "chat:empty")
	expect(`^There are no messages\.\n$`, "history", "chat:empty")
	expect(`^The user has no session\.\n$`, "users", "list", "nobody")
	expect(`(?s)confirmed by the broker.*\n\nchat:empty has no subscribers\.\n$`, "trace", "chat:empty")
	expect(`(?s)NODE .*\n\nbob has no session on chat:lobby: tidegate users list bob, tidegate explain --user bob --channel chat:lobby\n$`, "trace", "chat:lobby", "--recipient", "bob")
	expect(`(?m)^alice +1 `, "presence", "chat:lobby")
	expect(`(?m)^\w+:1 +\d{4}-\S+ +- +- +"here"$`, "history", "chat:lobby", "--limit", "1000")
	expect(`(?m)^\w+ +\w+ +websocket +native +\d+s +\[@alice chat:lobby\]$`, "users", "list", "alice")
	expect(`(?s)the user alice on chat:lobby: channels\[0\].*subscribe +yes .*publish +no \(forbidden\) .*no token with a claim publish`, "explain", "--user", "alice", "--channel", "chat:lobby")
	expect(`(?s)confirmed by the broker.*\n\w+ +1 +1 +1 +0 .*alice .*written`, "trace", "chat:lobby", "follow me", "--recipient", "alice")
	listener.waitFor("follow me")
	expect(`(?s)refused: .*publish: token.*|refused: .*may not publish`, "trace", "chat:lobby", "--as", "alice")
	expect(`^1 session ended\n$`, "users", "disconnect", "alice")
	expect(`^No ban is in force\.\nNo revocation is in force\.\n$`, "users", "bans")
	expect(`^user-\S+ is in force until \S+, for the user alice\. To lift it: tidegate users lift user-\S+\n$`, "users", "ban", "alice", "--for", "1h", "--reason", "spam")
	expect(`REFUSED EVERYWHERE: banned until .*spam`, "explain", "--user", "alice", "--channel", "chat:lobby")
	expect(`^address-\S+ is in force until \S+, for the address 192\.0\.2\.0/24\.`, "users", "ban", "192.0.2.0/24")
	expect(`is in force until \S+, for the token some-jti\.`, "users", "revoke", "--token", "some-jti")
	for _, want := range []string{`(?m)^user-\S+ +alice +\S+ +shop +spam$`, `(?m)^address-\S+ +192.0.2.0/24 `, `(?s)\nREVOCATION .*some-jti`} {
		expect(want, "users", "bans")
	}
	out, _, _ := operate(t, environ, "users", "bans", "--json")
	var bans struct {
		Bans        []struct{ ID, User string }
		Revocations []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(out), &bans); err != nil || len(bans.Bans) != 2 || bans.Revocations == nil {
		t.Fatalf("%s: %v", out, err)
	}
	for _, ban := range bans.Bans {
		expect(`is lifted`, "users", "lift", ban.ID)
	}
	expect(`^\{"nodes":\[`, "nodes", "--json", "--url", node.internal(""))
}

// awaitOnChannel blocks until a client is on the channel.
func awaitOnChannel(t *testing.T, environ []string, channel string) {
	t.Helper()
	await(t, "somebody on "+channel, func() (met bool, seen string) {
		seen, _, _ = operate(t, environ, "channels", channel)
		return strings.Contains(seen, "\n"+channel), seen
	})
}

func TestOperators_AreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	node := startReady(t, nil, "--config", write(t, "tidegate.yaml", operatedRules))
	url := "TIDEGATE_URL=" + node.socket()
	for name, test := range map[string]struct {
		environ []string
		args    []string
		code    int
		want    string
	}{
		"no key":            {[]string{url}, []string{"nodes"}, 1, "(unauthenticated): give it in TIDEGATE_API_KEY"},
		"no token":          {[]string{url}, []string{"publish", "chat:lobby", "hi"}, 1, "give a token in TIDEGATE_TOKEN, or an API key in TIDEGATE_API_KEY"},
		"wrong key":         {[]string{url, "TIDEGATE_API_KEY=wrong"}, []string{"nodes"}, 1, "unauthenticated"},
		"misspelt variable": {[]string{url, "TIDEGATE_API_KYE=x"}, []string{"nodes"}, 1, "TIDEGATE_API_KYE: unknown variable: the nearest known one is TIDEGATE_API_KEY"},
		"misspelt, publish": {[]string{"TIDEGATE_ULR=x"}, []string{"publish", "a", "b"}, 1, "the nearest known one is TIDEGATE_URL"},
		"misspelt, serve":   {[]string{"TIDEGATE_REDIS_ULR=x"}, nil, 1, "the nearest known one is TIDEGATE_REDIS_URL"},
		"no gateway":        {nil, []string{"nodes", "--url", node.public("/tidegate.js")}, 1, "is this a gateway?"},
		"nobody there":      {nil, []string{"nodes", "--url", "http://127.0.0.1:1"}, 1, "no gateway is there: give its address as --url, or in TIDEGATE_URL"},
		"unknown command":   {nil, []string{"chanels"}, 2, "the nearest known one is tidegate channels"},
		"unknown, below":    {nil, []string{"users", "disconect", "x"}, 2, "the nearest known one is tidegate users disconnect"},
		"unknown, a flag":   {nil, []string{"publsh", "chat:lobby", "hi", "--url", "x"}, 2, "the nearest known one is tidegate publish"},
		"below, a flag":     {nil, []string{"users", "lst", "alice", "--json"}, 2, "the nearest known one is tidegate users list"},
		"unknown flag":      {nil, []string{"nodes", "--jsno"}, 2, "the nearest known one is --json"},
		"strange command":   {nil, []string{"frobnicate"}, 2, `unknown command "frobnicate": tidegate --help lists those that there are`},
		"strange flag":      {nil, []string{"bench", "--sessions", "5"}, 2, "unknown flag --sessions: tidegate bench --help lists those that there are"},
		"beginning of flag": {nil, []string{"serve", "--redis", "x"}, 2, "the nearest known one is --redis-"},
		"wrong URL":         {[]string{"TIDEGATE_URL=localhost:8080"}, []string{"nodes"}, 1, "the URL of the gateway, as given or in TIDEGATE_URL, is not valid: want something like ws://127.0.0.1:8080/ws"},
		"wrong URL, doctor": {nil, []string{"doctor", "gateway.example.com"}, 2, "the URL of the gateway, as given"},
		"no network":        {[]string{url, "TIDEGATE_API_KEY=the-key-of-the-shop-and-no-other"}, []string{"users", "ban", "192.0.2.0/33"}, 1, "192.0.2.0/33"},
		"missing word":      {nil, []string{"presence"}, 2, "tidegate presence is given [], want CHANNEL"},
		"missing flag":      {nil, []string{"explain"}, 2, `"channel" not set`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, details, code := operate(t, test.environ, test.args...); code != test.code || !strings.Contains(details, test.want) {
				t.Errorf("exit code %d, printed %q and %q, want %d and %q", code, out, details, test.code, test.want)
			}
		})
	}
}

// A POST that a redirect turned into a GET would list the bans, and report one that does
// not exist.
func TestOperators_AreToldOfARedirectAndOfAnAnswerWithoutABan(t *testing.T) {
	t.Parallel()
	api := http.NewServeMux()
	api.HandleFunc("GET /secure/api/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"bans":[]}`) })
	api.HandleFunc("POST /other/api/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"bans":[]}`) })
	api.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/secure"+r.URL.Path, http.StatusMovedPermanently)
	})
	server := httptest.NewServer(api)
	defer server.Close()
	for _, args := range [][]string{{"users", "ban", "mallory"}, {"users", "revoke", "mallory"}, {"users", "lift", "user-1"}, {"nodes"}} {
		if out, details, code := operate(t, []string{"TIDEGATE_URL=" + server.URL}, args...); code != 1 || out != "" || !strings.Contains(details, "redirects to /secure/api/") {
			t.Errorf("tidegate %q: exit code %d, printed %q and %q", args, code, out, details)
		}
	}
	if out, details, code := operate(t, []string{"TIDEGATE_URL=" + server.URL + "/other"}, "users", "ban", "mallory"); code != 1 || out != "" {
		t.Errorf("exit code %d, printed %q and %q", code, out, details)
	}
}

func TestVersion_AndHelpInGroups(t *testing.T) {
	t.Parallel()
	if out, _, code := operate(t, nil, "version"); code != 0 || !strings.HasPrefix(out, "tidegate ") || !strings.Contains(out, "/") {
		t.Errorf("version: %d, %q", code, out)
	}
	out, _, code := operate(t, nil, "--help")
	for _, group := range []string{"Run a gateway:", "Inspect and manage a cluster:", "Send and receive:", "Set up clients and backends:"} {
		if !strings.Contains(out, "\n"+group+"\n") {
			t.Errorf("the help lacks %q", group)
		}
	}
	if code != 0 || strings.Contains(out, "Additional Commands") {
		t.Errorf("help: %d, a command is in no group: %s", code, out)
	}
}
