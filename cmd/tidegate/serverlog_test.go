package main

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Clients that break off TLS handshakes, or send nothing over HTTP/2, do not fill the log.
func TestServerLog_BrokenHandshakesAreLoggedOnce(t *testing.T) {
	var said bytes.Buffer
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = newServerLog(slog.New(slog.NewTextHandler(&said, nil)))
	server.StartTLS()
	for range 20 {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), nil) // it does not trust the certificate
		if err == nil {
			conn.Close()
			t.Fatal("the handshake has succeeded")
		}
	}
	server.Close() // waits for the connections
	for range 20 {
		server.Config.ErrorLog.Print("timeout waiting for SETTINGS frames from 192.0.2.1:4711") // of HTTP/2
	}
	server.Config.ErrorLog.Print("http: Accept error: too many open files")
	if lines := said.String(); strings.Count(lines, "handshake") != 1 || strings.Contains(lines, "SETTINGS") || !strings.Contains(lines, "Accept error") {
		t.Errorf("the log has\n%s", lines)
	}
}
