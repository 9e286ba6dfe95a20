package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tidegate/broker/brokertest"

	"github.com/coder/websocket"
)

func TestCompression_IsForClientsThatAgreeWhereItIsOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	must(t, os.WriteFile(file, []byte("channels: [{match: '*', subscribe: anyone, publish: anyone}]\n"), 0o600))
	long := `{"text":"` + strings.Repeat("as it was, ", 100) + `"}`
	for _, c := range []struct {
		name       string
		args       []string
		mode       websocket.CompressionMode
		compressed bool
	}{
		{"on, and agreed", []string{"--compression-enabled"}, websocket.CompressionNoContextTakeover, true},
		{"on, and not asked for", []string{"--compression-enabled"}, websocket.CompressionDisabled, false},
		{"on from a larger size", []string{"--compression-enabled", "--compression-min-bytes=4096"}, websocket.CompressionNoContextTakeover, false},
		{"off", nil, websocket.CompressionNoContextTakeover, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := startReady(t, nil, append(c.args, "--config", file)...)
			conn, _, err := websocket.Dial(t.Context(), n.public("/raw/chat"), &websocket.DialOptions{CompressionMode: c.mode})
			must(t, err)
			defer conn.CloseNow()
			must(t, conn.Write(t.Context(), websocket.MessageText, []byte(long)))
			if _, got, err := conn.Read(t.Context()); err != nil || string(got) != long {
				t.Fatalf("read %.40q, %v", got, err)
			}
			bytes := 0
			brokertest.Eventually(t, "the bytes to be counted", func() bool {
				bytes = n.deliveredBytes()
				return bytes > 0
			})
			if (bytes < len(long)) != c.compressed {
				t.Errorf("%d bytes were written for a message of %d", bytes, len(long))
			}
		})
	}
}

var deliveredBytes = regexp.MustCompile(`(?m)^tidegate_delivered_bytes_total (\S+)$`)

func (p *process) deliveredBytes() int {
	p.t.Helper()
	status, text := get(p.t, p.internal("/metrics"))
	found := deliveredBytes.FindStringSubmatch(text)
	if status != http.StatusOK || found == nil {
		p.t.Fatalf("the metrics do not tell delivered bytes: %d\n%.300s", status, text)
	}
	n, err := strconv.ParseFloat(found[1], 64)
	must(p.t, err)
	return int(n)
}
