package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pretended are nodes that answer probes as a test wants, in turn. They have no
// WebSockets and no streams.
type pretended struct {
	nodes []view
	known []string // the nodes that they list
	away  bool     // they cannot use Redis
	busy  int      // the status with which they refuse sessions; 403 if 0
	asked atomic.Int64
}

func (p *pretended) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case p.away && path != "/healthz":
		http.Error(w, "not ready: the broker is away", http.StatusServiceUnavailable)
	case path == "/healthz", path == "/readyz":
		fmt.Fprintln(w, "ok")
	case path == "/api/nodes":
		var known []map[string]string
		for _, name := range p.known {
			known = append(known, map[string]string{"node": name})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"nodes": known})
	case path == "/api/probe":
		v := p.nodes[int(p.asked.Add(1))%len(p.nodes)]
		v.Time += time.Now().UnixMilli()
		v.Host = r.Host
		v.Address, _, _ = strings.Cut(r.RemoteAddr, ":")
		_ = json.NewEncoder(w).Encode(v)
	case path == "/poll":
	case p.busy != 0:
		http.Error(w, `{"error":{"code":"any","message":"try another node"}}`, p.busy)
	default:
		http.Error(w, `{"error":{"code":"forbidden","message":"no"}}`, http.StatusForbidden)
	}
}

// examinePretended returns the sentences of the findings.
func examinePretended(t *testing.T, p *pretended) []string {
	t.Helper()
	server := httptest.NewServer(p)
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range Examine(t.Context(), Config{URL: at, Key: "key"}).Findings {
		if len(f.Cures) == 0 {
			t.Errorf("no line to change: %s", f.What)
		}
		said = append(said, f.What)
	}
	return said
}

func TestExamine_Nodes(t *testing.T) {
	const minute = int64(time.Minute / time.Millisecond)
	for name, test := range map[string]struct {
		nodes *pretended
		want  []string
	}{
		"sound": {&pretended{nodes: []view{{Node: "a"}, {Node: "b"}}, known: []string{"a", "b"}}, nil},
		"Redis is away, which explains all else": {
			&pretended{away: true}, []string{"A node that gets traffic cannot use Redis: 503 Service Unavailable, not ready: the broker is away."},
		},
		"versions": {
			&pretended{nodes: []view{{Node: "a", Version: "1"}, {Node: "b", Version: "2"}}, known: []string{"a", "b"}},
			[]string{"Node a has version 1, and node b has 2."},
		},
		"clocks": {
			&pretended{nodes: []view{{Node: "a", Time: minute}, {Node: "b", Time: -minute}}, known: []string{"a", "b"}},
			[]string{"The clock of node a is 1m0s ahead of this machine's", "The clock of node b is 1m0s behind this machine's"},
		},
		"another Redis": {
			&pretended{nodes: []view{{Node: "a"}, {Node: "b"}}, known: []string{"a"}},
			[]string{"Nodes a and b do not know each other"},
		},
		"full nodes": {
			&pretended{busy: http.StatusTooManyRequests, nodes: []view{{Node: "a"}}, known: []string{"a"}},
			[]string{
				"WebSockets are refused: 429 Too Many Requests, try another node.",
				"Server-Sent Events are refused: 429 Too Many Requests, try another node.",
			},
		},
		"nodes that drain": {
			&pretended{busy: http.StatusServiceUnavailable, nodes: []view{{Node: "a"}}, known: []string{"a"}},
			[]string{
				"WebSockets are refused: 503 Service Unavailable, try another node.",
				"Server-Sent Events are refused: 503 Service Unavailable, try another node.",
			},
		},
		"scheme": {
			&pretended{nodes: []view{{Node: "a", Secure: true}}, known: []string{"a"}},
			[]string{"Nodes treat http requests as https"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			said := examinePretended(t, test.nodes)
			if !slices.EqualFunc(said, test.want, strings.HasPrefix) {
				t.Errorf("found %q, want %q", said, test.want)
			}
		})
	}
}

func TestExamine_WhatIsNoGateway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	report := Examine(t.Context(), Config{URL: at})
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].What, "is no gateway") {
		t.Errorf("found %+v", report)
	}
	server.Close()
	report = Examine(t.Context(), Config{URL: at})
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].What, "does not answer") {
		t.Errorf("found %+v", report)
	}
}

// What is wrong with the URL itself is no problem of what is behind it.
func TestExamine_TheURLIsWrong(t *testing.T) {
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer untrusted.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler("/tidegate/healthz", http.StatusMovedPermanently))
	defer elsewhere.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for address, want := range map[string]string{
		untrusted.URL: "ssl_certificate",
		elsewhere.URL: "tidegate doctor " + elsewhere.URL + "/tidegate\n",
		closed.URL:    "listen 443",
	} {
		at, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		printReport(&said, Examine(t.Context(), Config{URL: at}))
		if !strings.Contains(said.String(), want) || strings.Contains(said.String(), cureAddress[0].Line) {
			t.Errorf("%s: it says %q, want %q", address, said.String(), want)
		}
	}
	if cures := cureUnanswered(&net.DNSError{}); cures[0].Where != "DNS" {
		t.Errorf("a name without an address is cured by %q", cures)
	}
}

// A node that refuses sessions for now is no fault of the balancer, unless it should not get any.
func TestExamine_RefusalsOfANode(t *testing.T) {
	const ofNode = `{"error":{"code":"any","message":"try another node"}}`
	for _, test := range []struct {
		answer answer
		want   []Cure
	}{
		{answer{status: http.StatusTooManyRequests, body: []byte(ofNode)}, cureLimits},
		{answer{status: http.StatusServiceUnavailable, body: []byte(ofNode)}, cureReady},
		{answer{status: http.StatusServiceUnavailable, body: []byte("<html>")}, nil},
		{answer{status: http.StatusNotFound, body: []byte(ofNode)}, nil},
	} {
		if got := cureRefused(&test.answer); !slices.Equal(got, test.want) {
			t.Errorf("%v is cured by %q, want %q", &test.answer, got, test.want)
		}
	}
}

// What an interruption breaks is no problem of the deployment, and the rest was not tested.
func TestExamine_AnInterruptionIsNoFinding(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := Examine(ctx, Config{URL: at})
	if len(report.Findings) != 0 || len(report.Unchecked) != 1 || !strings.Contains(report.Unchecked[0], "interrupted") {
		t.Errorf("found %+v", report)
	}
	var said strings.Builder
	printReport(&said, report)
	if strings.Contains(said.String(), "No problems") {
		t.Errorf("the report says %q", said.String())
	}
}

func TestTell_JSONIsReadableByPeople(t *testing.T) {
	var said strings.Builder
	err := tell(&said, Report{Findings: []Finding{{What: "<a> & b"}}}, true)
	if err == nil || !strings.Contains(said.String(), `"<a> & b"`) || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("it prints %s and returns %v", said.String(), err)
	}
}

func TestLimitsOfPubSub(t *testing.T) {
	hard, soft, ok := limitsOfPubSub("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60")
	if hard != leastHard || soft != leastSoft || !ok {
		t.Errorf("limits are %d and %d, %v", hard, soft, ok)
	}
	for _, bad := range []string{"", "normal 0 0 0", "pubsub 1 2", "pubsub x y z"} {
		if _, _, ok := limitsOfPubSub(bad); ok {
			t.Errorf("%q is understood", bad)
		}
	}
}
