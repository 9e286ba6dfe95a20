package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/bench"
	"tidegate/gateway/client"

	"github.com/coder/websocket"
)

// witness is a client of one channel, whose messages are the numbers from 1 on, and the log
// of what it has received.
type witness struct {
	// Fixed at birth.
	kind    string // native, light, slow, wandering, raw, sse or poll
	channel string
	resumes bool   // after a loss it gets everything that still exists
	base    string // http://host
	http    *http.Client
	ready   chan struct{} // closed when it is subscribed for the first time

	// Guarded by mu.
	mu    sync.Mutex
	log   []heard
	begun int           // the number before the log begins
	news  chan struct{} // closed and replaced when the log grows
}

// heard is an entry of a log: the number of a message, or a gap.
type heard struct {
	number int
	gap    string    // how the witness knows of the gap; empty for a message
	at     time.Time // of the gap
}

func newWitness(kind string, s *stream, base string, by *http.Client) *witness {
	return &witness{kind: kind, channel: s.channel, resumes: s.kept && kind != "raw", base: base, http: by,
		ready: make(chan struct{}), news: make(chan struct{})}
}

// listen stays connected until ctx ends.
func (w *witness) listen(ctx context.Context) {
	attempt := map[string]func(context.Context) error{
		"native": w.listenNative, "light": w.newLight(), "slow": w.newLight(), "wandering": w.newWandering(),
		"raw": w.listenRaw, "sse": w.newSSE(), "poll": w.newPoll(),
	}[w.kind]
	for ctx.Err() == nil {
		if err := attempt(ctx); err != nil {
			wait(ctx, 50*time.Millisecond)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *witness) listenNative(ctx context.Context) error {
	c := newNativeClient(w.base, w.http)
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	defer running.Wait()
	subscription, err := c.Subscribe(ctx, w.channel, client.SubscribeOptions{})
	if err != nil {
		return err
	}
	close(w.ready)
	for {
		event, err := subscription.Receive(ctx)
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case client.Message:
			w.hear(string(e.Payload))
		case client.Gap:
			w.misses("gap")
		}
	}
}

func newNativeClient(base string, by *http.Client) *client.Client {
	return client.New(client.Config{
		URL: base + "/ws", HTTPClient: by,
		RetryDelay: 50 * time.Millisecond, MaxRetryDelay: 500 * time.Millisecond,
	})
}

// newLight returns a client of the native protocol that is so small that a machine
// can run thousands.
func (w *witness) newLight() func(context.Context) error {
	var cursor string
	return func(ctx context.Context) error {
		c, err := w.dialLight(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		defer context.AfterFunc(ctx, c.Close)()
		if err := c.Write(fmt.Appendf(nil, `{"type":"subscribe","id":1,"channel":%q,"cursor":%q}`, w.channel, cursor)); err != nil {
			return err
		}
		for n := 1; ; n++ {
			if w.kind == "slow" && n%slowEvery == 0 {
				wait(ctx, slowFor)
			}
			frame, err := c.Read()
			if err != nil {
				return err
			}
			if cursor, err = w.hearLight(frame, cursor); err != nil {
				return err
			}
		}
	}
}

// A slow witness stops reading for a while after that many frames.
const slowEvery, slowFor = 1000, 4 * time.Second

// newWandering returns a client that disconnects now and then and resumes from its cursor.
func (w *witness) newWandering() func(context.Context) error {
	light := w.newLight()
	return func(ctx context.Context) error {
		staying, leave := context.WithTimeout(ctx, 200*time.Millisecond+rand.N(3*time.Second))
		defer leave()
		err := light(staying)
		wait(ctx, rand.N(time.Second))
		return err
	}
}

func (w *witness) dialLight(ctx context.Context) (*bench.Client, error) {
	target, err := url.Parse(w.base + "/ws")
	if err != nil {
		return nil, err
	}
	conn, err := w.http.Transport.(*http.Transport).DialContext(ctx, "tcp", "")
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })() // a suspended node does not answer
	if w.kind == "slow" {
		_ = conn.(*net.TCPConn).SetReadBuffer(32 << 10)
	}
	return bench.Open(conn, target, "")
}

// hearLight handles a frame and returns the cursor after it.
func (w *witness) hearLight(frame []byte, cursor string) (string, error) {
	var f struct {
		Type, Cursor, Message string
		Data                  json.RawMessage
		Recovered             *bool
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		return cursor, err
	}
	switch f.Type {
	case "subscribed":
		if f.Recovered != nil && !*f.Recovered {
			w.misses("gap")
		}
		if cursor == "" {
			cursor = f.Cursor
		}
		w.listens()
	case "gap":
		w.misses("gap")
	case "message":
		w.hear(string(f.Data))
		cursor = f.Cursor
	case "error":
		return cursor, errors.New(f.Message)
	}
	return cursor, nil
}

// listenRaw is one connection without an envelope. Its messages have no cursor, so at the
// end of each connection the client knows that it may miss messages.
func (w *witness) listenRaw(ctx context.Context) error {
	conn, answer, err := websocket.Dial(ctx, w.base+"/raw/"+w.channel, &websocket.DialOptions{HTTPClient: w.http})
	if answer != nil && answer.Body != nil {
		answer.Body.Close()
	}
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	w.listens()
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			w.misses(endOf(err))
			return err
		}
		w.hear(string(frame))
	}
}

func endOf(err error) string {
	if code := websocket.CloseStatus(err); code > 0 {
		return fmt.Sprintf("closed with %d", code)
	}
	return "connection lost"
}

// newSSE returns a client that reads Server-Sent Events as a browser does: an event counts
// only if it is complete.
func (w *witness) newSSE() func(context.Context) error {
	var last string // event id
	return func(ctx context.Context) error {
		response, err := w.ask(ctx, "/events?channel="+url.QueryEscape(w.channel), last)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var id, event, data string
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				event = value
			case "data":
				data = value
			case "":
				if id != "" {
					last = id
				}
				w.hearEvent(event, data)
				event, data = "", ""
				w.listens()
			}
		}
		return fmt.Errorf("the stream has ended")
	}
}

func (w *witness) hearEvent(event, data string) {
	switch {
	case event == "gap":
		w.misses("gap")
	case data != "":
		w.hear(data)
	}
}

func (w *witness) newPoll() func(context.Context) error {
	var cursor string
	return func(ctx context.Context) error {
		query := url.Values{"channel": {w.channel}, "cursor": {cursor}, "wait": {"5s"}}
		response, err := w.ask(ctx, "/poll?"+query.Encode(), "")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusNoContent {
			return nil
		}
		var page struct {
			Messages []struct{ Data json.RawMessage }
			Cursor   string
			Gaps     []string

			Recovered *bool // false if messages after the cursor are gone
		}
		if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
			return err
		}
		if len(page.Gaps) > 0 || page.Recovered != nil {
			w.misses("gap")
		}
		for _, m := range page.Messages {
			w.hear(string(m.Data))
		}
		cursor = page.Cursor
		w.listens()
		return nil
	}
}

func (w *witness) ask(ctx context.Context, path, lastEventID string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return nil, err
	}
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		response.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return response, nil
}

// listens closes ready, once.
func (w *witness) listens() {
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

func (w *witness) hear(payload string) {
	number, _ := strconv.Atoi(payload) // 0, which is never published, if it is not a number
	w.add(heard{number: number})
}

func (w *witness) misses(how string) { w.add(heard{gap: how, at: time.Now()}) }

func (w *witness) add(h heard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, h)
	close(w.news)
	w.news = make(chan struct{})
}

// waitFor blocks until the witness has received the number or a later one or, if it does
// not resume, knows that it may have missed what followed its last message.
func (w *witness) waitFor(t *testing.T, number int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		latest, unsure, news := w.latest()
		if latest >= number || unsure && !w.resumes {
			return
		}
		select {
		case <-news:
		case <-deadline:
			t.Fatalf("%v has not heard message %d; its log ends with %v", w, number, w.end(20))
		}
	}
}

func (w *witness) latest() (number int, unsure bool, news <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.log) - 1; i >= 0; i-- {
		if w.log[i].gap == "" {
			return w.log[i].number, i < len(w.log)-1, w.news
		}
	}
	return 0, false, w.news
}

func (w *witness) end(most int) []heard {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log[max(0, len(w.log)-most):]
}

func (w *witness) String() string { return "the " + w.kind + " witness of " + w.channel }

// begin clears the log, which then begins after the given number.
func (w *witness) begin(number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log, w.begun = nil, number
}

// gapsHeard returns the runs of numbers in the log, and what the witness was told between them.
func (w *witness) gapsHeard() (runs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, h := range w.log {
		switch {
		case h.gap != "":
			runs = append(runs, h.gap)
		case i == 0 || w.log[i-1].gap != "" || w.log[i-1].number+1 != h.number:
			runs = append(runs, fmt.Sprintf("%d…", h.number))
		}
		if h.gap == "" && (i+1 == len(w.log) || w.log[i+1].gap != "" || w.log[i+1].number != h.number+1) {
			runs = append(runs, fmt.Sprintf("…%d", h.number))
		}
	}
	return runs
}
