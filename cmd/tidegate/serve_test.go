package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tidegate/broker/brokertest"
)

func TestServe_BareIsDevelopment(t *testing.T) {
	t.Parallel()
	p := startNode(t, nil)
	p.waitFor("development: no rules are configured")
	for _, url := range []string{p.public("/healthz"), p.internal("/healthz")} {
		if status, body := get(t, url); status != http.StatusOK || body != "ok\n" {
			t.Errorf("GET %s: %d %q, want 200 ok", url, status, body)
		}
	}
	eventually(t, p.public("/readyz"), http.StatusOK)
	eventually(t, p.internal("/readyz"), http.StatusOK)
	if status, body := get(t, p.internal("/metrics")); status != http.StatusOK || !strings.Contains(body, "tidegate_broker_up 1") {
		t.Errorf("GET /metrics: %d, want 200 with tidegate_broker_up 1:\n%s", status, body)
	}
}

func TestServe_OperatorsThingsAreNotPublic(t *testing.T) {
	t.Parallel()
	p := startNode(t, nil)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, _ := get(t, p.public(path)); status != http.StatusNotFound {
			t.Errorf("public %s: %d, want 404", path, status)
		}
		if status, _ := get(t, p.internal(path)); status != http.StatusOK {
			t.Errorf("internal %s: %d, want 200", path, status)
		}
	}
}

func TestServe_ProfilesDoNotShowTheCommandLine(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2hunter2hunter2hunter2"
	p := startNode(t, nil, "--auth-jwt-secret="+secret)
	if status, body := get(t, p.internal("/debug/pprof/cmdline")); status != http.StatusNotFound || strings.Contains(body, secret) {
		t.Errorf("GET /debug/pprof/cmdline: %d %q, want 404", status, body)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	if strings.Contains(p.said(), secret) {
		t.Errorf("the log shows a secret:\n%s", p.said())
	}
}

func TestServe_SIGTERMAndSIGINTDrain(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startNode(t, nil)
			p.signal(signal)
			if code := p.wait(); code != 0 {
				t.Errorf("exit code %d, want 0:\n%s", code, p.said())
			}
			p.waitFor(`"msg":"stopped"`)
		})
	}
}

func TestServe_APortInUseNamesTheSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	address := taken.Addr().String()
	for _, c := range []struct{ setting, env, flag, other string }{
		{"listen", "TIDEGATE_LISTEN", "--listen", "--internal-listen=127.0.0.1:0"},
		{"internal_listen", "TIDEGATE_INTERNAL_LISTEN", "--internal-listen", "--listen=127.0.0.1:0"},
	} {
		p := start(t, nil, c.flag, address, c.other)
		if code := p.wait(); code != 1 {
			t.Errorf("%s: exit code %d, want 1", c.setting, code)
		}
		want := "tidegate: " + c.setting + ": the address " + address + " is in use: stop what uses it, or set " +
			c.setting + " to another (" + c.env + ", " + c.flag + ")"
		if got := p.said(); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}

func TestServe_AWrongConfigurationEndsIt(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"TIDEGATE_LIMITS_SESSIONS=many"})
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	want := "tidegate: the configuration is not valid:\n" +
		`TIDEGATE_LIMITS_SESSIONS: limits.sessions: given the string "many", want an integer`
	if got := p.said(); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestServe_AnUnknownFlagNamesTheNearest(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--redis-ulr=x"}, {"serve", "--redis-ulr=x"}} {
		p := start(t, nil, args...)
		if code := p.wait(); code != 2 {
			t.Errorf("%q: exit code %d, want 2", args, code)
		}
		if got, want := p.said(), "tidegate: unknown flag --redis-ulr: the nearest known one is --redis-url"; got != want {
			t.Errorf("%q: said %q, want %q", args, got, want)
		}
	}
}

func TestServe_WaitsForRedis(t *testing.T) {
	t.Parallel()
	server := brokertest.FindProgram(t, "redis-server")
	_, port, _ := net.SplitHostPort(brokertest.FreeAddress(t))
	p := startNode(t, nil, "--redis-url", "redis://user:hunter2@127.0.0.1:"+port)
	p.waitFor("the broker is away")
	const away = "not ready: the broker is away"
	if status, body := get(t, p.public("/readyz")); status != http.StatusServiceUnavailable || body != away+"\n" {
		t.Errorf("GET /readyz: %d %q, want 503 with a plain reason", status, body)
	}
	if status, body := get(t, p.internal("/readyz")); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, away+": ") || !strings.Contains(body, port) {
		t.Errorf("GET /readyz for operators: %d %q, want 503 with all that is known", status, body)
	}
	if status, _ := get(t, p.public("/healthz")); status != http.StatusOK {
		t.Errorf("GET /healthz: %d, want 200", status)
	}
	redis := exec.Command(server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--user", "user", "on", ">hunter2", "~*", "&*", "+@all")
	must(t, redis.Start())
	t.Cleanup(func() {
		_ = redis.Process.Kill()
		_ = redis.Wait() // returns an error because Redis was killed
	})
	eventually(t, p.public("/readyz"), http.StatusOK)
	if strings.Contains(p.said(), "hunter2") {
		t.Errorf("the log shows the password:\n%s", p.said())
	}
}

func TestServe_AClientThatDoesNotFinishItsHeaderIsCutOff(t *testing.T) {
	t.Parallel()
	p := startNode(t, nil)
	address := strings.TrimPrefix(p.public(""), "http://")
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	if _, err := c.Write([]byte("GET /ws HTTP/1.1\r\nHost: ")); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, c)
}
