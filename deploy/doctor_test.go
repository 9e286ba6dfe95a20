package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tidegate/broker/brokertest"
)

// illness is what is wrong with a deployment, and what the doctor is to say of it.
type illness struct {
	name     string
	changes  []string // of the balancer's file: a part, and what stands there instead
	flags    []string // of the doctor
	findings []finding
}

// finding is a pattern of the sentence, and the line to change.
type finding struct{ what, cure string }

const (
	cutAfter   = "4s" // longer than what comes before takes
	untilCut   = "--patience=12s"
	impatient  = "--patience=1s"
	goodOrigin = "https://good.example"
)

var illnessesOfHAProxy = []illness{
	{name: "none"},
	{
		name: "WebSockets are cut", changes: []string{"timeout tunnel 1h", "timeout tunnel " + cutAfter}, flags: []string{untilCut},
		findings: []finding{{`^Silent WebSockets are cut: one was closed after \d+\.\d s\.$`, "timeout tunnel 1h"}},
	},
	{
		name: "streams and polls are cut", changes: []string{"timeout server 75s", "timeout server " + cutAfter}, flags: []string{untilCut},
		findings: []finding{
			{`^Silent Server-Sent Events streams are cut: one was closed after \d+\.\d s\.$`, "timeout server 75s"},
			{`^Long-polls are cut: one that should wait 12s got 504 after \d+\.\d s\.$`, "timeout server 75s"},
		},
	},
	{
		name:     "events are held back",
		changes:  []string{"    option redispatch 1\n", "    option redispatch 1\n    http-response wait-for-body time 60s at-least 100k if { res.hdr(Content-Type) -m beg text/event-stream }\n"},
		findings: []finding{{`^Server-Sent Events are buffered`, "no http-response wait-for-body"}},
	},
	{
		name: "no Upgrade", changes: []string{"    default_backend gateway", "    http-request del-header Upgrade\n    default_backend gateway"},
		findings: []finding{{`the header Upgrade does not reach the node\.$`, "no http-request del-header Upgrade"}},
	},
	{
		name: "GETs are repeated", changes: []string{"retry-on conn-failure 503", "retry-on all-retryable-errors"},
		findings: []finding{{`^A GET that a node accepted but did not answer is retried: nodes \w+(, \w+)* and \w+ received it`, "retry-on conn-failure 503"}},
	},
	{
		name: "no Host", changes: []string{"    default_backend gateway", "    http-request set-header Host inside\n    default_backend gateway"},
		findings: []finding{{`^The Host header is not passed on: nodes see "inside" instead of "127`, "no http-request set-header Host"}},
	},
	{
		name:     "no address",
		changes:  []string{"set-header X-Forwarded-For %[src]", "del-header X-Forwarded-For", "    balance leastconn", "    balance leastconn\n    source 127.0.0.3"},
		findings: []finding{{`^The client's address is not passed on: nodes see 127\.0\.0\.3 instead`, "http-request set-header X-Forwarded-For %[src]"}},
	},
	{
		name:     "an address that is not believed",
		changes:  []string{"    balance leastconn", "    balance leastconn\n    source 127.0.0.3"},
		findings: []finding{{`^Nodes do not trust the X-Forwarded-For of the balancer at 127\.0\.0\.3`, "trusted_proxies: [127.0.0.3]"}},
	},
	{
		name:     "an address that clients claim",
		changes:  []string{"    http-request set-header X-Forwarded-For %[src]\n", "", "    balance leastconn", "    balance leastconn\n    source 127.0.0.2"},
		findings: []finding{{`^Clients can forge their address`, "http-request set-header X-Forwarded-For %[src]"}},
	},
	{
		name: "another scheme", changes: []string{"X-Forwarded-Proto http unless", "X-Forwarded-Proto https unless"},
		findings: []finding{{`^Nodes treat http requests as https`, "http-request set-header X-Forwarded-Proto https if { ssl_fc }"}},
	},
	{
		name: "an origin is refused", flags: []string{"--origin=https://app.example.com"},
		findings: []finding{{`^Pages of https://app\.example\.com are rejected\.$`, `origins: ["https://app.example.com"]`}},
	},
}

var illnessesOfNginx = []illness{
	{name: "none"},
	{
		name: "what is silent is cut", changes: []string{"proxy_read_timeout 75s;", "proxy_read_timeout " + cutAfter + ";"}, flags: []string{untilCut},
		findings: []finding{
			{`^Silent WebSockets are cut: one was closed after \d+\.\d s\.$`, "proxy_read_timeout 75s;"},
			{`^Silent Server-Sent Events streams are cut`, "proxy_read_timeout 75s;"},
			{`^Long-polls are cut`, "proxy_read_timeout 75s;"},
		},
	},
	{
		name:     "events are held back",
		changes:  []string{"proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types text/event-stream;"},
		findings: []finding{{`^Server-Sent Events are buffered`, "proxy_buffering off;"}},
	},
	{
		name: "no Upgrade", changes: []string{"Upgrade $http_upgrade;", `Upgrade "";`},
		findings: []finding{{`the header Upgrade does not reach the node\.$`, "proxy_set_header Upgrade $http_upgrade;"}},
	},
	{
		name: "GETs are repeated", changes: []string{"proxy_next_upstream http_503;", "proxy_next_upstream error timeout http_503;"},
		findings: []finding{{`^A GET that a node accepted but did not answer is retried: nodes \w+ and \w+ received it`, "proxy_next_upstream http_503;"}},
	},
	{
		name: "no Host", changes: []string{"        proxy_set_header Host $http_host;\n", ""},
		findings: []finding{{`^The Host header is not passed on: nodes see "gateway" instead of "127`, "proxy_set_header Host $http_host;"}},
	},
	{
		name:     "no address",
		changes:  []string{"X-Forwarded-For $remote_addr;", `X-Forwarded-For ""; proxy_bind 127.0.0.3;`},
		findings: []finding{{`^The client's address is not passed on: nodes see 127\.0\.0\.3 instead`, "proxy_set_header X-Forwarded-For $remote_addr;"}},
	},
	{
		name:     "an address that is not believed",
		changes:  []string{"X-Forwarded-For $remote_addr;", "X-Forwarded-For $remote_addr; proxy_bind 127.0.0.3;"},
		findings: []finding{{`^Nodes do not trust the X-Forwarded-For of the balancer at 127\.0\.0\.3`, "trusted_proxies: [127.0.0.3]"}},
	},
	{
		name:     "an address that clients claim",
		changes:  []string{"X-Forwarded-For $remote_addr;", "X-Forwarded-For $http_x_forwarded_for; proxy_bind 127.0.0.2;"},
		findings: []finding{{`^Clients can forge their address`, "proxy_set_header X-Forwarded-For $remote_addr;"}},
	},
	{
		name: "another scheme", changes: []string{"X-Forwarded-Proto $scheme;", "X-Forwarded-Proto https;"},
		findings: []finding{{`^Nodes treat http requests as https`, "proxy_set_header X-Forwarded-Proto $scheme;"}},
	},
}

// examinedFile is the configuration of nodes that many doctors come to at once.
const examinedFile = `
redis: {url: %q}
auth: {api_keys: [{name: test, key: "` + theKey + `"}]}
origins: [` + goodOrigin + `]
trusted_proxies: [127.0.0.1, 127.0.0.2]
limits: {sessions_per_ip: 1000, connections_per_ip: 1000}
channels: [{match: "none:*"}]
`

// TestDoctor_SaysWhatABalancerDoes has the real programs do, before two real nodes, each
// thing that they should not, and nothing else; and once nothing of that.
func TestDoctor_SaysWhatABalancerDoes(t *testing.T) {
	brokertest.RequireRedis(t)
	redis := brokertest.StartRedis(t)
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write(t, file, fmt.Sprintf(examinedFile, redis.URL()))
	a, b := startGateway(t, file, 2048), startGateway(t, file, 2048)
	stranger := startGateway(t, file, 2048, "--redis-prefix=other:")

	var visits []*visit
	begin := func(name, file string, i illness, start func(config string) (address string)) {
		v := &visit{name: name + ", " + i.name, findings: i.findings}
		address := start(changed(t, read(t, file), i.changes))
		v.begin(t, append([]string{impatient, "--origin=" + goodOrigin, "--redis=" + redis.URL(), "http://" + address}, i.flags...)...)
		visits = append(visits, v)
	}
	haproxy := func(nodes ...*gatewayNode) func(string) string {
		return func(config string) string { return startHAProxyWith(t, config, nodes...).clients }
	}
	for _, i := range illnessesOfHAProxy {
		begin("HAProxy", haproxyFile, i, haproxy(a, b))
	}
	for _, i := range illnessesOfNginx {
		begin("nginx", nginxFile, i, func(config string) string { return startNginxWith(t, config, a, b) })
	}
	begin("HAProxy", haproxyFile, illness{name: "a node with another prefix", findings: []finding{
		{`^Nodes \w+ and \w+ do not receive each other's messages: redis\.prefix is "(tidegate|other):" on one and "(tidegate|other):" on the other\.$`, "redis: {prefix: ...}"},
	}}, haproxy(a, stranger))
	for _, v := range visits {
		t.Run(v.name, v.expect)
	}
}

func changed(t *testing.T, config string, changes []string) string {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(config, changes[i]) {
			t.Fatalf("the file has no %q", changes[i])
		}
		config = strings.Replace(config, changes[i], changes[i+1], 1)
	}
	return config
}

// visit is the doctor's to one deployment.
type visit struct {
	name     string
	flags    []string
	findings []finding

	first   sync.WaitGroup
	missing string // of what is to be found, or more than that, after the first time; empty: nothing
}

// atOnce is how many visits there are at a time.
var atOnce = make(chan struct{}, 4)

// begin makes the first visit, beside others.
func (v *visit) begin(t *testing.T, flags ...string) {
	t.Helper()
	program := tidegate(t)
	v.flags = flags
	v.first.Go(func() {
		atOnce <- struct{}{}
		defer func() { <-atOnce }()
		v.missing = v.make(t, program)
	})
	t.Cleanup(v.first.Wait)
}

// attempts are more than one, as a machine that has too much to do makes any deployment
// ill for a moment, and the doctor says so.
const attempts = 5

// expect fails the test unless the doctor says what is to be found, and nothing else.
func (v *visit) expect(t *testing.T) {
	v.first.Wait()
	missing := v.missing
	for range attempts - 1 {
		if missing == "" {
			return
		}
		t.Log(missing)
		missing = v.make(t, tidegate(t))
	}
	if missing != "" {
		t.Error(missing)
	}
}

// make visits once, and says in what the report is not as it should be.
func (v *visit) make(t *testing.T, program string) (missing string) {
	cmd := exec.CommandContext(t.Context(), program, append([]string{"doctor", "--json"}, v.flags...)...)
	cmd.Env = append(os.Environ(), "TIDEGATE_API_KEY="+theKey)
	var out, trace bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trace
	err := cmd.Run()
	code, exited := 0, (*exec.ExitError)(nil)
	if errors.As(err, &exited) {
		code = exited.ExitCode()
	}
	var report examined
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return fmt.Sprintf("%v: %s%s", err, out.String(), trace.String())
	}
	switch {
	case code != min(len(v.findings), 1):
		missing = fmt.Sprintf("exit code %d", code)
	case len(report.Findings) != len(v.findings):
		missing = fmt.Sprintf("%d findings, want %d", len(report.Findings), len(v.findings))
	case len(v.findings) == 0 && len(report.Unchecked) > 0:
		missing = "something was not looked at"
	}
	for _, want := range v.findings {
		if missing == "" && !report.has(want) {
			missing = fmt.Sprintf("no finding %s with the line %s", want.what, want.cure)
		}
	}
	if missing != "" {
		missing += ": " + out.String()
	}
	return missing
}

// examined is what the doctor says.
type examined struct {
	Findings []struct {
		What  string
		Cures []struct{ Where, Line string }
	}
	Unchecked []string
}

func (e *examined) has(want finding) bool {
	for _, f := range e.Findings {
		for _, cure := range f.Cures {
			if regexp.MustCompile(want.what).MatchString(f.What) && strings.Contains(cure.Line, want.cure) {
				return true
			}
		}
	}
	return false
}

// TestDoctor_SaysWhatIsWrongWithRedis has a Redis of each kind beside one sound node.
func TestDoctor_SaysWhatIsWrongWithRedis(t *testing.T) {
	brokertest.RequireRedis(t)
	sound := brokertest.StartRedis(t)
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	write(t, file, fmt.Sprintf(examinedFile, sound.URL()))
	node := startGateway(t, file, 1024)

	var visits []*visit
	begin := func(name, url string, findings ...finding) {
		v := &visit{name: name, findings: findings}
		v.begin(t, "--patience=0s", "--redis="+url, "http://"+node.public)
		visits = append(visits, v)
	}
	redis := func(args ...string) string { return brokertest.StartRedis(t, args...).URL() }
	begin("evicts", redis("--maxmemory-policy", "volatile-lru"), finding{`evicts keys when its memory is full \(maxmemory-policy volatile-lru\)`, "maxmemory-policy noeviction"})
	begin("cuts off nodes", redis("--client-output-buffer-limit", "pubsub 1mb 512kb 10"), finding{`disconnects a node with 1048576 bytes queued`, "client-output-buffer-limit pubsub 32mb 8mb 60"})
	begin("saves now and then", redis("--save", "60 1000"))
	begin("appends each second", redis("--appendonly", "yes"))
	begin("takes nothing", redis("--maxmemory", "1"), finding{`^Redis rejects messages: .*OOM`, "TidegateRedisRefuses"})
	begin("is away", "redis://127.0.0.1:1", finding{`^Redis cannot be queried: `, "redis: {url: ...}"})
	missing := &visit{name: "trusts a file that is not there", findings: []finding{{`^Redis cannot be queried: redis TLS: .*no such file`, "redis: {url: ...}"}}}
	missing.begin(t, "--patience=0s", "--redis=rediss://127.0.0.1:1", "--redis-ca=missing.pem", "http://"+node.public)
	visits = append(visits, missing)
	limited := brokertest.StartRedis(t)
	limited.CLI("ACL", "SETUSER", "weak", "on", ">PASSWORD", "~tidegate:*", "&tidegate:*", "+@all", "-wait", "-xrevrange")
	begin("lacks rights", "redis://weak:PASSWORD@"+limited.Addr, finding{`^This Redis user lacks rights that nodes need: wait 1 1, xrevrange KEY \+ -\.$`, "ACL SETUSER USER ~tidegate:* &tidegate:* +wait +xrevrange"})
	for _, v := range visits {
		t.Run(v.name, v.expect)
	}
}
