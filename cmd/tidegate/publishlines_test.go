package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"tidegate/gateway/client"
)

// A line whose key the gateway may have forgotten is published again, however often that happens.
func TestPublishLines_OutlastARedisThatIsAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recovers := time.Now().Add(15 * time.Minute)
		answer := func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"tidegate.v1"}})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			say := func(format string, args ...any) {
				_ = conn.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...))
			}
			say(`{"type":"welcome","session":"s","node":"n","ping":25}`)
			for {
				_, frame, err := conn.Read(r.Context())
				if err != nil {
					return
				}
				var command struct {
					Type string
					ID   int
				}
				_ = json.Unmarshal(frame, &command)
				switch {
				case command.Type == "ping":
					say(`{"type":"pong"}`)
				case time.Now().Before(recovers):
					say(`{"type":"error","id":%d,"code":"unavailable","message":"no broker"}`, command.ID)
				default:
					say(`{"type":"published","id":%d}`, command.ID)
				}
			}
		}
		listener := make(pipes)
		server := &http.Server{Handler: http.HandlerFunc(answer)}
		go server.Serve(listener)
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			listener <- there
			return here, nil
		}}
		c := client.New(client.Config{URL: "ws://gateway/ws", HTTPClient: &http.Client{Transport: transport}})
		ctx, end := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.Run(ctx) }()

		var details strings.Builder
		p := &publishing{message: client.Message{Channel: "c"}, out: io.Discard, details: &details}
		if err := p.publishLines(ctx, c, linesOf(strings.NewReader("1\n2\n"))); err != nil {
			t.Errorf("%v\n%s", err, &details)
		}
		if n := strings.Count(details.String(), "published again"); n < 2 {
			t.Errorf("told %d times that a line is published again:\n%s", n, &details)
		}
		end()
		<-ran
		_ = server.Close()
		transport.CloseIdleConnections()
	})
}
