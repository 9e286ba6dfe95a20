package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"tidegate/gateway/client"
)

// publishLinesTo publishes lines to a gateway that answers after a while, with what answer returns
// for a payload: an error's code, or "". It must be called in a bubble of synctest.
func publishLinesTo(t *testing.T, answer func(payload string) (code string), lines ...string) (details string) {
	listener := make(pipes)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answerPublishes(t, w, r, answer) })}
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

	var said strings.Builder
	p := &publishing{pace: pace{perSecond: 90}, message: client.Message{Channel: "c"}, out: io.Discard, details: &said}
	if err := p.publishLines(ctx, c, linesOf(strings.NewReader(strings.Join(lines, "\n")))); err != nil {
		t.Errorf("%v\n%s", err, &said)
	}
	end()
	<-ran
	_ = server.Close()
	transport.CloseIdleConnections()
	return said.String()
}

func answerPublishes(t *testing.T, w http.ResponseWriter, r *http.Request, answer func(string) string) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"tidegate.v1"}})
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.CloseNow()
	say := func(text string) { _ = conn.Write(r.Context(), websocket.MessageText, []byte(text)) }
	say(`{"type":"welcome","session":"s","node":"n","ping":25}`)
	for {
		_, frame, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		var command struct {
			Type string
			ID   int
			Data json.RawMessage
		}
		_ = json.Unmarshal(frame, &command)
		reply := `{"type":"pong"}`
		if command.Type == "publish" {
			reply = fmt.Sprintf(`{"type":"published","id":%d}`, command.ID)
			if code := answer(string(command.Data)); code != "" {
				reply = fmt.Sprintf(`{"type":"error","id":%d,"code":%q,"message":"no"}`, command.ID, code)
			}
		}
		time.AfterFunc(15*time.Millisecond, func() { say(reply) })
	}
}

// A line whose key the gateway may have forgotten is published again, however often that happens.
func TestPublishLines_OutlastARedisThatIsAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recovers := time.Now().Add(15 * time.Minute)
		details := publishLinesTo(t, func(string) string {
			if time.Now().Before(recovers) {
				return "unavailable"
			}
			return ""
		}, "1", "2")
		if n := strings.Count(details, "published again"); n < 2 {
			t.Errorf("told %d times that a line is published again:\n%s", n, details)
		}
	})
}

// A line that is refused because it came too fast must not be overtaken by those behind it.
func TestPublishLines_KeepTheirOrderAtALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commands := rate.NewLimiter(100, 100)
		var lines, published []string
		for i := range 1000 {
			lines = append(lines, fmt.Sprint(i))
		}
		began := time.Now()
		details := publishLinesTo(t, func(payload string) string {
			if !commands.Allow() {
				return "rate_limited"
			}
			published = append(published, payload)
			return ""
		}, lines...)
		if !slices.Equal(published, lines) {
			t.Errorf("published is %q\n%s", published, details)
		}
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
