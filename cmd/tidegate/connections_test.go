package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/config"
)

// idle opens a connection that is served and keeps it open.
func idle(t *testing.T, p *process, introduction string) net.Conn {
	t.Helper()
	c, ok := tryIdle(t, p, introduction)
	if !ok {
		t.Fatal("the connection was closed")
	}
	return c
}

// tryIdle reports whether a connection was served; if not, it was closed.
func tryIdle(t *testing.T, p *process, introduction string) (net.Conn, bool) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "http://"))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(c, introduction+"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") // it may be closed
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return c, false
	}
	answer.Body.Close()
	return c, answer.StatusCode == http.StatusOK
}

// awaitRoom blocks until another connection is served.
func awaitRoom(t *testing.T, p *process, introduction string) {
	t.Helper()
	await(t, "room for a connection, after one has ended", func() (met bool, seen string) {
		_, met = tryIdle(t, p, introduction)
		return met, "it is refused"
	})
}

func TestConnections_AreBoundedInAll(t *testing.T) {
	t.Parallel()
	p := startNode(t, []string{"TIDEGATE_LIMITS_CONNECTIONS=3"})
	eventually(t, p.internal("/readyz"), http.StatusOK)
	first := idle(t, p, "")
	idle(t, p, "")
	idle(t, p, "")
	if _, ok := tryIdle(t, p, ""); ok {
		t.Error("a fourth connection is served, limits.connections is 3")
	}
	p.waitFor(`"limit":"limits.connections"`)
	if _, metrics := get(t, p.internal("/metrics")); !strings.Contains(metrics, `tidegate_connection_refused_total{limit="limits.connections"} 1`) {
		t.Error("the refusal is not counted")
	}
	first.Close()
	awaitRoom(t, p, "")
}

// Each HTTP/2 request counts like a connection.
func TestConnections_RequestsOverHTTP2AreBounded(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"limits.connections", "limits.connections_per_ip"} {
		files := config.TLS{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
		putCertificate(t, files, "localhost")
		p := startNode(t, nil, "--tls-cert-file", files.CertFile, "--tls-key-file", files.KeyFile, "--"+strings.NewReplacer(".", "-", "_", "-").Replace(limit)+"=4")
		eventually(t, p.internal("/readyz"), http.StatusOK)
		client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		t.Cleanup(client.CloseIdleConnections)
		listen := func() (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.public("/events?channel=chat"), nil)
			must(t, err)
			return client.Do(r)
		}
		var open []*http.Response
		for range 3 { // in addition to the connection itself
			answer, err := listen()
			if err != nil || answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
				t.Fatalf("%+v, %v", answer, err)
			}
			defer answer.Body.Close()
			open = append(open, answer)
		}
		if answer, err := listen(); err == nil {
			t.Errorf("%s: a fourth stream is answered %s", limit, answer.Status)
			answer.Body.Close()
		}
		p.waitFor(limit)
		open[0].Body.Close()
		for deadline := time.Now().Add(patience); ; {
			answer, err := listen()
			if err == nil {
				answer.Body.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("there is no room after a stream has ended: %v", err)
			}
		}
	}
}

// The internal listener is limited, too: it is not for clients, but clients may reach it.
func TestConnections_OfTheInternalListenerAreBounded(t *testing.T) {
	t.Parallel()
	p := startNode(t, nil)
	eventually(t, p.internal("/readyz"), http.StatusOK)
	address := strings.TrimPrefix(strings.TrimSuffix(p.internal(""), "/"), "http://")
	for range config.Reserve()/2 + 1 {
		c, err := net.Dial("tcp", address)
		must(t, err)
		defer c.Close()
	}
	p.waitFor(`"limit":"internal_listen"`)
}

// WebSockets are limited as sessions.
func TestConnections_AWebSocketIsNone(t *testing.T) {
	t.Parallel()
	p := startNode(t, []string{"TIDEGATE_LIMITS_CONNECTIONS=1"})
	eventually(t, p.internal("/readyz"), http.StatusOK)
	for range 3 {
		hearType(t, connect(t, strings.Replace(p.public("/ws"), "http", "ws", 1)), "welcome")
	}
}

func TestConnections_AreBoundedByAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ       []string
		first, second string // how the connections begin
		served        bool   // whether the second one is served
	}{
		"the same address": {nil, "", "", false},
		"a proxy":          {[]string{"TIDEGATE_TRUSTED_PROXIES=127.0.0.1"}, "", "", true},
		"behind PROXY headers": {
			[]string{"TIDEGATE_TRUSTED_PROXIES=127.0.0.1", "TIDEGATE_PROXY_PROTOCOL=true"},
			string(proxyHeader(t, 1, "192.0.2.7:5000")), string(proxyHeader(t, 1, "192.0.2.8:5000")), true,
		},
		"the same behind PROXY headers": {
			[]string{"TIDEGATE_TRUSTED_PROXIES=127.0.0.1", "TIDEGATE_PROXY_PROTOCOL=true"},
			string(proxyHeader(t, 1, "192.0.2.7:5000")), string(proxyHeader(t, 1, "192.0.2.7:5001")), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startNode(t, append(c.environ, "TIDEGATE_LIMITS_CONNECTIONS_PER_IP=1"))
			eventually(t, p.internal("/readyz"), http.StatusOK)
			first := idle(t, p, c.first)
			if _, served := tryIdle(t, p, c.second); served != c.served {
				t.Errorf("a second connection is served: %v, want %v", served, c.served)
			}
			first.Close()
			awaitRoom(t, p, c.first)
		})
	}
}

// A client counts for its address before it has sent a request: one that sends none could
// use up limits.connections.
func TestConnections_CountByAddressBeforeTheirFirstRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ proxies, first string }{
		"behind a PROXY header": {"127.0.0.1", string(proxyHeader(t, 1, "192.0.2.7:5000"))},
		"past the proxies":      {"10.0.0.0/8", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startNode(t, []string{"TIDEGATE_TRUSTED_PROXIES=" + c.proxies, "TIDEGATE_PROXY_PROTOCOL=true", "TIDEGATE_LIMITS_CONNECTIONS_PER_IP=1"})
			eventually(t, p.internal("/readyz"), http.StatusOK)
			for range 2 {
				conn, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "http://"))
				must(t, err)
				defer conn.Close()
				_, _ = io.WriteString(conn, c.first) // it may be closed
			}
			p.waitFor(`"limit":"limits.connections_per_ip"`)
		})
	}
}

func TestConnections_ProxiesCountForNoNetwork(t *testing.T) {
	c := &connections{proxies: []netip.Prefix{netip.MustParsePrefix("2001:db8::5/128"), netip.MustParsePrefix("fe80::/64"), netip.MustParsePrefix("10.0.0.5/32")}}
	for _, proxy := range []string{"[2001:db8::5]:1", "[fe80::1%eth0]:1", "10.0.0.5:1", "[::ffff:10.0.0.5]:1"} {
		if got := c.networkOf(proxy); got.IsValid() {
			t.Errorf("the proxy %s counts for %s", proxy, got)
		}
	}
	for client, want := range map[string]string{"[2001:db8::6]:1": "2001:db8::/64", "10.0.0.6:1": "10.0.0.6/32"} {
		if got := c.networkOf(client).String(); got != want {
			t.Errorf("the client %s counts for %s, want %s", client, got, want)
		}
	}
}

// The kernel buffers only a limited amount for a peer that does not read, before any
// deadline closes the connection.
func TestListen_TheKernelHoldsLittleForAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	l, err := listen("listen", "127.0.0.1:0", config.TLS{}, nil, slog.New(slog.DiscardHandler))
	must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer client.Close()
	must(t, client.(*net.TCPConn).SetReadBuffer(4<<10))
	served, err := l.Accept()
	must(t, err)
	defer served.Close()
	must(t, served.SetWriteDeadline(time.Now().Add(time.Second)))
	taken, _ := served.Write(make([]byte, 16<<20))
	if most := 256 << 10; taken > most {
		t.Errorf("the kernel took %d bytes, want %d at most", taken, most)
	}
}
