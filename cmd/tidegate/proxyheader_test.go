package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pires/go-proxyproto"

	"tidegate/cmd/tidegate/internal/config"
)

// proxyHeader returns the header that a proxy sends for a client at the given address.
func proxyHeader(t *testing.T, version byte, client string) []byte {
	t.Helper()
	from, err := net.ResolveTCPAddr("tcp", client)
	must(t, err)
	header := proxyproto.HeaderProxyFromAddrs(version, from, &net.TCPAddr{IP: from.IP, Port: 80})
	encoded, err := header.Format()
	must(t, err)
	return encoded
}

// dialAfter returns a client whose connections begin with the given bytes.
func dialAfter(first []byte) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err == nil {
				_, err = c.Write(first)
			}
			return c, err
		},
	}}
}

func TestProxied_WhoseHeaderIsBelieved(t *testing.T) {
	t.Parallel()
	const trusted, others = "127.0.0.0/8", "10.0.0.0/8"
	v1, v2 := proxyHeader(t, 1, "192.0.2.7:5000"), proxyHeader(t, 2, "192.0.2.7:5000")
	local := []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00") // version 2, a proxy's own health check
	for _, c := range []struct {
		name, proxies string
		first         []byte
		want          string // the client's address; empty if refused
	}{
		{"version 1", trusted, v1, "192.0.2.7"},
		{"version 2", trusted, v2, "192.0.2.7"},
		{"IPv6", trusted, proxyHeader(t, 2, "[2001:db8::7]:5000"), "2001:db8::7"},
		{"the proxy's health check", trusted, local, "127.0.0.1"},
		{"no header from a proxy", trusted, nil, ""},
		{"a broken header", trusted, []byte("PROXY TCP4 here there 1 2\r\n"), ""},
		{"a forged version 1", others, v1, ""},
		{"a forged version 2", others, v2, ""},
		{"a direct client", others, nil, "127.0.0.1"},
		{"a header where none is spoken", "", v1, ""},
		{"none where none is spoken", "", nil, "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			environ := []string{"TIDEGATE_LIMITS_SESSIONS_PER_IP=1"}
			if c.proxies != "" {
				environ = append(environ, "TIDEGATE_PROXY_PROTOCOL=true", "TIDEGATE_TRUSTED_PROXIES="+c.proxies)
			}
			p := startReadyBehind(t, environ)
			connection, answer, err := dialWebSocket(t, p, dialAfter(c.first), nil)
			if c.want == "" {
				if err == nil {
					t.Fatal("it was let in")
				}
				if answer != nil && answer.StatusCode != http.StatusBadRequest {
					t.Errorf("refused with %s, want 400 or no answer", answer.Status)
				}
				return
			}
			must(t, err)
			hearType(t, connection, "welcome")
			if err := connection.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
			if line := p.waitFor(`"msg":"session closed"`); !strings.Contains(line, c.want) {
				t.Errorf("the client's address is another than %s: %s", c.want, line)
			}
		})
	}
}

// startReadyBehind is like startReady, for a node that only proxies may connect to.
func startReadyBehind(t *testing.T, environ []string) *process {
	t.Helper()
	p := startNode(t, environ)
	eventually(t, p.internal("/readyz"), http.StatusOK)
	return p
}

func dialWebSocket(t *testing.T, p *process, client *http.Client, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, answer, err := websocket.Dial(ctx, strings.Replace(p.public("/ws"), "http", "ws", 1),
		&websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() }) // it may be closed
	}
	return c, answer, err
}

func TestProxied_WhatPassesIsWholeAndInOrder(t *testing.T) {
	t.Parallel()
	p := startReadyBehind(t, []string{"TIDEGATE_PROXY_PROTOCOL=true", "TIDEGATE_TRUSTED_PROXIES=127.0.0.1"})
	c, _, err := dialWebSocket(t, p, dialAfter(proxyHeader(t, 2, "192.0.2.7:5000")), nil)
	must(t, err)
	c.SetReadLimit(1 << 20)
	say(t, c, websocket.MessageText, `{"type":"subscribe","id":1,"channel":"chat"}`)
	hearType(t, c, "subscribed")
	for i := range 20 {
		text := fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 1000*i))
		say(t, c, websocket.MessageText, `{"type":"publish","channel":"chat","data":`+text+`}`)
		if got := hearType(t, c, "message"); !strings.Contains(got, text) {
			t.Fatalf("message %d came back as %.100s", i, got)
		}
	}
}

func TestProxied_AProxyThatSaysNothingIsCutOff(t *testing.T) {
	t.Parallel()
	p := startReadyBehind(t, []string{"TIDEGATE_PROXY_PROTOCOL=true", "TIDEGATE_TRUSTED_PROXIES=127.0.0.1"})
	c, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "http://"))
	must(t, err)
	defer c.Close()
	if _, err := c.Write([]byte("PROXY TCP4 192.0")); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, c)
}

func TestServe_AClientThatDoesNotFinishItsTLSHandshakeIsCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := config.TLS{CertFile: dir + "/cert.pem", KeyFile: dir + "/key.pem"}
	putCertificate(t, files, "a.example")
	p := startNode(t, nil, "--tls-cert-file", files.CertFile, "--tls-key-file", files.KeyFile)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "https://"))
	must(t, err)
	defer c.Close()
	if _, err := c.Write([]byte{0x16, 0x03, 0x01}); err != nil { // the beginning of a ClientHello
		t.Fatal(err)
	}
	waitForEnd(t, c)
}

func TestServe_ManyHeadersAreRefused(t *testing.T) {
	t.Parallel()
	p := startReady(t, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.public(""), "http://"))
	must(t, err)
	defer c.Close()
	var request bytes.Buffer
	request.WriteString("GET /ws HTTP/1.1\r\nHost: a\r\n")
	for i := range 4000 {
		fmt.Fprintf(&request, "X-Forwarded-For: 192.0.2.%d\r\n", i%256)
	}
	request.WriteString("\r\n")
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, _ = c.Write(request.Bytes()) // the node may close the connection early
	answer, _ := io.ReadAll(c)
	if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 431 ")) {
		t.Errorf("answered %.60q, want 431", answer)
	}
}

// Behind a trusted proxy, the limits apply to the address in X-Forwarded-For, as far as
// trusted proxies wrote it.
func TestServe_SessionsCountByTheClientsAddress(t *testing.T) {
	t.Parallel()
	behind := func(forwarded ...string) http.Header { return http.Header{"X-Forwarded-For": forwarded} }
	for _, c := range []struct {
		name, proxies string
		second        http.Header // of a second session, after one of 192.0.2.7
		want          int
	}{
		{"another client", "127.0.0.1", behind("192.0.2.8"), http.StatusSwitchingProtocols},
		{"the same client", "127.0.0.1", behind("192.0.2.7"), http.StatusTooManyRequests},
		{"the same one, who pretends", "127.0.0.1", behind("198.51.100.1, 192.0.2.7"), http.StatusTooManyRequests},
		{"in a header of his own", "127.0.0.1", behind("198.51.100.1", "192.0.2.7"), http.StatusTooManyRequests},
		{"an untrusted peer", "10.0.0.1", behind("192.0.2.8"), http.StatusTooManyRequests},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := startReady(t, []string{"TIDEGATE_LIMITS_SESSIONS_PER_IP=1", "TIDEGATE_TRUSTED_PROXIES=" + c.proxies})
			client := dialAfter(nil)
			if _, _, err := dialWebSocket(t, p, client, behind("192.0.2.7")); err != nil {
				t.Fatal(err)
			}
			_, answer, err := dialWebSocket(t, p, client, c.second)
			if answer == nil || answer.StatusCode != c.want {
				t.Errorf("the second session: %v %v, want %d", answer, err, c.want)
			}
		})
	}
}
