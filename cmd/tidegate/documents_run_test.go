package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tidegate/broker/brokertest"
)

// guide is a document whose commands are run unchanged, apart from addresses and ports.
type guide struct {
	run   func(t *testing.T, text string, commands []string)
	apart map[string]string // the beginnings of commands that run does not get, with the reason or the test that runs them
}

const (
	noDocker  = "there is no Docker where tests run; deploy's tests read the files that it is given"
	byHand    = "takes minutes to hours, by hand"
	noAddress = "it takes a gateway at a public address: TestDoctor asks one here"
)

var guides = map[string]guide{
	"README.md": {runReadme, map[string]string{
		"docker":                   noDocker,
		"redis-server --port 6379": "TestReadme_TwoNodesInThreeCommands", "tidegate --redis-url": "TestReadme_TwoNodesInThreeCommands",
		"curl": "TestReadme_ItsClientsMeet", "redis-cli": "TestReadme_ItsClientsMeet", "tidegate subscribe": "TestReadme_ItsClientsMeet",
		"tidegate publish": "TestReadme_ItsClientsMeet", "tidegate tail": "TestReadme_FollowsALogFile",
	}},
	"broker/README.md":                   {runBrokerGuide, nil},
	"gateway/api/README.md":              {runAPIGuide, nil},
	"gateway/auth/README.md":             {runTokenGuide, nil},
	"gateway/auth/login.md":              {runLoginGuide, nil},
	"gateway/console/tidegate/README.md": {runPackageGuide, nil},
	"deploy/README.md": {runOperatorsGuide, map[string]string{
		"docker": noDocker, "go test": byHand, "tidegate doctor": noAddress,
		"go tool pprof": "it looks for 10 seconds, and then waits for questions",
	}},
	"deploy/module.md":             {nil, map[string]string{"deploy/module.sh": "TestModule_CanBeGivenAnAddress"}},
	"deploy/faults.md":             {nil, map[string]string{"cd": byHand, "FAULT_": byHand, "SOAK": byHand}},
	"deploy/upgrades.md":           {nil, map[string]string{"UPGRADE_FROM": byHand}},
	"gateway/simulation/README.md": {nil, map[string]string{"go test": "TestSimulation tells other stories", "SIM_MUTANTS": byHand}},
	"cmd/tidegate/internal/bench/README.md": {nil, map[string]string{
		"tidegate": "loads the machine for seconds: TestBench measures each kind in short",
	}},
}

func TestDocuments_CommandsRunAsTheyStand(t *testing.T) {
	t.Parallel()
	for path, text := range documentsOf(t, ".md") {
		commands := shellCommands(text)
		if len(commands) == 0 {
			continue
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, repository+"/"))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := guides[name]
			mine := g.without(t, commands)
			if g.run == nil && len(mine) > 0 {
				t.Fatalf("nobody runs %q, nor says why not", mine)
			}
			if g.run != nil {
				g.run(t, text, mine)
			}
		})
	}
}

// without returns the commands that run unchanged, without those in apart.
func (g guide) without(t *testing.T, commands []string) (mine []string) {
	t.Helper()
	met := map[string]bool{}
	for _, command := range commands {
		beginning := ""
		for one := range g.apart {
			if strings.HasPrefix(command, one) && len(one) > len(beginning) {
				beginning = one
			}
		}
		if beginning == "" {
			mine = append(mine, command)
		}
		met[beginning] = true
	}
	for beginning := range g.apart {
		if !met[beginning] {
			t.Errorf("no command begins with %q any more", beginning)
		}
	}
	return mine
}

// newPageShell returns a shell in its own folder. Its gateways listen on free addresses;
// the first replaces 127.0.0.1:8080 of the document.
func newPageShell(t *testing.T, more ...string) *pageShell {
	t.Helper()
	public, internal := brokertest.FreeAddress(t), brokertest.FreeAddress(t)
	return &pageShell{
		folder:    t.TempDir(),
		elsewhere: strings.NewReplacer(slices.Concat([]string{"127.0.0.1:8080", public, "127.0.0.1:9080", internal}, more)...),
		ready:     map[string]string{"tidegate serve": public + "/readyz", "tidegate dev": public + "/readyz"},
		env:       []string{"TIDEGATE_LISTEN=" + public, "TIDEGATE_INTERNAL_LISTEN=" + internal, "TIDEGATE_URL=http://" + public},
	}
}

func runReadme(t *testing.T, _ string, commands []string) {
	root, err := filepath.Abs(repository)
	must(t, err)
	shell := newPageShell(t, "go install ./cmd/tidegate", "(cd "+root+" && go install ./cmd/tidegate)")
	shell.env = append(shell.env, "GOBIN="+filepath.Join(shell.folder, "bin"))
	said := shell.run(t, append(commands, "bin/tidegate version"))
	for _, want := range []string{"built with go", "tidegate.yaml is written", "everything is allowed"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

func runBrokerGuide(t *testing.T, _ string, commands []string) {
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	_, port, _ := strings.Cut(redis.Addr, ":")
	shell := newPageShell(t, "redis-cli ", "redis-cli -p "+port+" ")
	if said := shell.run(t, commands); strings.Contains(said, "ERR") || !strings.Contains(said, ":1\n") {
		t.Errorf("the first should answer with a cursor:\n%s", said)
	}
}

// aliceListens starts a gateway with a key, and alice on chat:lobby.
func aliceListens(t *testing.T) (*process, string) {
	t.Helper()
	key := strings.Repeat("k", 24)
	node := startReady(t, nil, "--config", write(t, "tidegate.yaml", fmt.Sprintf(`
auth: {api_keys: [{name: shop, key: %s}], jwt: {secret: %q}}
channels: [{match: "*", subscribe: anyone, publish: anyone, presence: true, history: {size: 10, ttl: 1m}}]
`, key, loginJWTSecret)))
	token, _, _ := operate(t, nil, "token", "--auth-jwt-secret="+loginJWTSecret, "--user=alice")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	alice, _, err := websocket.Dial(ctx, node.public("/ws?access_token="+strings.TrimSpace(token)), nil)
	must(t, err)
	t.Cleanup(func() { alice.CloseNow() })
	frame, err := []byte(nil), alice.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","id":1,"channel":"chat:lobby"}`))
	for err == nil && !bytes.Contains(frame, []byte(`"subscribed"`)) {
		_, frame, err = alice.Read(ctx)
	}
	must(t, err)
	return node, key
}

func runAPIGuide(t *testing.T, _ string, commands []string) {
	node, key := aliceListens(t)
	shell := newPageShell(t)
	shell.elsewhere = strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(node.public(""), "http://"), "KEY", key)
	said := shell.run(t, commands)
	for _, want := range []string{`"cursor":"`, `"allowed":true`, `"written"`, `"mallory"`, `"192.0.2.0/24"`, `"ITS-JTI"`} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing answers %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, `"error"`) {
		t.Errorf("something is refused:\n%s", said)
	}
}

func runTokenGuide(t *testing.T, _ string, commands []string) {
	public := brokertest.FreeAddress(t)
	shell := newPageShell(t, "tidegate subscribe room:1 &", "tidegate subscribe room:1 --url ws://"+public+" >heard &", "tidegate publish ", "tidegate publish --url ws://"+public+" ")
	shell.env = []string{"TIDEGATE_LISTEN=" + public, "TIDEGATE_INTERNAL_LISTEN=" + brokertest.FreeAddress(t)}
	shell.ready["tidegate serve"] = public + "/readyz"
	hear := "until grep '\"hi\"' heard; do " + commands[len(commands)-1] + "; sleep 0.1; done" // who listens may have come late
	shell.run(t, append(commands, hear))
}

func runLoginGuide(t *testing.T, text string, commands []string) {
	brokertest.FindProgram(t, "node")
	login := brokertest.FreeAddress(t)
	shell := newPageShell(t, "127.0.0.1:3000", login, "kill %tidegate", "kill %tidegate && wait %tidegate", " -N ", " ", "/events?", "/poll?") // a stream would never end
	shell.ready["node"] = "--data '' " + login + "/login?user=somebody"
	shell.env = append(shell.env, "PORT="+login[strings.LastIndexByte(login, ':')+1:])
	must(t, os.CopyFS(shell.folder, os.DirFS(loginExamples)))
	configurationsOf(t, shell.elsewhere.Replace(text), shell.folder)
	said := shell.run(t, commands)
	if !strings.Contains(said, `{"cursor":""}`) || !strings.Contains(said, `"messages":[]`) {
		t.Errorf("a token should publish, and a cookie read:\n%s", said)
	}
}

func runPackageGuide(t *testing.T, _ string, commands []string) {
	brokertest.FindProgram(t, "npm")
	folder, err := filepath.Abs(repository + "/gateway/console/tidegate")
	must(t, err)
	shell := newPageShell(t)
	shell.elsewhere = strings.NewReplacer("npm pack ", "cd "+folder+" && npm pack --ignore-scripts ", "/tmp", shell.folder, "npm install ", "mkdir $HOME/project && cd $HOME/project && npm install --offline --no-audit --no-fund ")
	shell.env = append(shell.env, "HOME="+shell.folder)
	shell.run(t, commands)
	if _, err := os.Stat(filepath.Join(shell.folder, "project/node_modules/tidegate/tidegate.js")); err != nil {
		t.Error(err)
	}
}

func runOperatorsGuide(t *testing.T, text string, commands []string) {
	node, key := aliceListens(t)
	shell := newPageShell(t)
	shell.elsewhere = strings.NewReplacer("https://gateway.example.com", node.public(""), "$(cat shop.key)", key, "127.0.0.1:9080", strings.TrimPrefix(node.internal(""), "http://"))
	shell.env = nil
	configurationsOf(t, text, shell.folder)
	said := shell.run(t, commands)
	for _, want := range []string{"chat:lobby", "alice", "mallory", "tidegate_sessions"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %s:\n%s", want, cmp.Or(said, "nothing"))
		}
	}
}
