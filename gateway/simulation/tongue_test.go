package simulation_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/gateway/centrifuge"
	"tidegate/gateway/native"
	"tidegate/gateway/pusher"
	"tidegate/gateway/transport"
)

// tongue is a protocol between clients and nodes. It consists of lines.
type tongue interface {
	fmt.Stringer

	// serve serves the connection on the node, as the transport does, until it ends.
	serve(n *node, c *client, over *conn)

	// first returns what the client sends first, or "".
	first(c *client) string

	// hear handles a received line. It returns what the client sends next, or "", and whether
	// the client stays connected.
	hear(c *client, line []byte) (say string, stays bool)
}

// lines wraps a protocol to end each frame with a newline.
type lines struct{ gateway.Protocol }

func (l lines) Encode(event gateway.Event) (gateway.Frame, error) {
	frame, err := l.Protocol.Encode(event)
	if len(frame.Data) > 0 {
		frame.Data = append(frame.Data, '\n')
	}
	return frame, err
}

// isNamed reports whether nodes know the user of a client with this protocol.
func isNamed(t tongue) bool {
	return t == nativeTongue{} || t == centrifugeTongue{} || t == grantedTongue{}
}

// nativeTongue is the native protocol.
type nativeTongue struct{}

func (nativeTongue) String() string { return "native" }

func (nativeTongue) serve(n *node, c *client, over *conn) {
	n.serve(over, gateway.Hello{Protocol: native.Protocol{}, Session: over.name, Principal: gateway.Principal{User: c.name}})
}

func (nativeTongue) first(c *client) string {
	c.answered = false
	return toJSON(map[string]any{"type": "subscribe", "id": 1, "channel": c.stream.channel, "cursor": c.cursor})
}

// nativeFrame is what a node says in the native protocol.
type nativeFrame struct {
	Type, Channel, Cursor, Code, Reason string
	ID                                  int
	Data                                json.RawMessage
	Recovered                           bool
}

func (t nativeTongue) hear(c *client, line []byte) (say string, stays bool) {
	var f nativeFrame
	if !c.parse(line, &f) {
		return "", false
	}
	return t.take(c, &f, line)
}

func (nativeTongue) take(c *client, f *nativeFrame, line []byte) (say string, stays bool) {
	if f.Channel != "" && f.Channel != c.stream.channel {
		return "", true // the user's own channel
	}
	switch f.Type {
	case "subscribed":
		c.answered = true
		c.enters(f.Cursor, f.Recovered)
	case "gap":
		c.misses("gap")
	case "message":
		c.hears(f.Data, f.Cursor)
	case "error":
		return "", c.answered || c.refused(f.Code, line) // after the subscribe, errors do not matter
	}
	return "", true
}

// haltingTongue is the native protocol with an encoder that fails for some messages. This ends
// the session, and the client reconnects.
type haltingTongue struct{ nativeTongue }

func (haltingTongue) String() string { return "halting" }

func (haltingTongue) serve(n *node, c *client, over *conn) {
	n.serve(over, gateway.Hello{Protocol: halting{native.Protocol{}, &n.saying}, Session: over.name})
}

// halting is a protocol that fails to encode each saysMost-th message.
type halting struct {
	gateway.Protocol
	saying *atomic.Int64
}

const saysMost = 13

var errUnsayable = errors.New("it cannot be said")

func (h halting) Encode(event gateway.Event) (gateway.Frame, error) {
	if _, is := event.(gateway.Message); is && h.saying.Add(1)%saysMost == 0 {
		return gateway.Frame{}, errUnsayable
	}
	return h.Protocol.Encode(event)
}

// centrifugeTongue is the protocol of Centrifuge's SDKs over a WebSocket.
type centrifugeTongue struct{}

func (centrifugeTongue) String() string { return "centrifuge" }

func (centrifugeTongue) serve(n *node, c *client, over *conn) {
	hello, err := centrifuge.Greet(&http.Request{URL: new(url.URL)})
	if err != nil {
		panic(err) // cannot fail without options
	}
	hello.Session, hello.Principal = over.name, gateway.Principal{User: c.name}
	n.serve(over, hello)
}

func (centrifugeTongue) first(*client) string { return `{"id":1,"connect":{}}` }

func (centrifugeTongue) hear(c *client, line []byte) (say string, stays bool) {
	type publication struct {
		Data   json.RawMessage
		Offset uint64
	}
	var f struct {
		Error     *struct{ Code int }
		Connect   *struct{}
		Subscribe *struct {
			Recoverable, Recovered bool
			Epoch                  string
			Offset                 uint64
			Publications           []publication
		}
		Push struct {
			Channel     string
			Pub         *publication
			Unsubscribe *struct{}
		}
	}
	if !c.parse(line, &f) {
		return "", false
	}
	hears := func(p publication) {
		cursor := ""
		if p.Offset > 0 {
			cursor = epochOf(c.cursor) + ":" + strconv.FormatUint(p.Offset, 10)
		}
		c.hears(p.Data, cursor)
	}
	switch s := f.Subscribe; {
	case f.Error != nil:
		return "", c.refused(fmt.Sprint("centrifuge ", f.Error.Code), line)
	case f.Connect != nil:
		ask := map[string]any{"channel": c.stream.channel}
		if epoch, offset, kept := strings.Cut(c.cursor, ":"); kept {
			ask["recover"], ask["epoch"], ask["offset"] = true, epoch, json.RawMessage(offset)
		}
		return toJSON(map[string]any{"id": 2, "subscribe": ask}), true
	case s != nil:
		at := ""
		if s.Recoverable {
			at = s.Epoch + ":" + strconv.FormatUint(s.Offset, 10)
		}
		c.enters(at, s.Recovered)
		c.cursor = at
		for _, p := range s.Publications {
			hears(p)
		}
	case f.Push.Channel != c.stream.channel: // the user's own channel, or none
	case f.Push.Unsubscribe != nil:
		c.world.sees("centrifuge client is to subscribe anew")
		return "", false
	case f.Push.Pub != nil:
		hears(*f.Push.Pub)
	}
	return "", true
}

// pusherTongue is the protocol of Pusher's libraries. It has no cursors.
type pusherTongue struct{}

func (pusherTongue) String() string { return "pusher" }

// newApps returns an app for each family of channels, because Pusher's channel names have no
// colon.
func newApps() *pusher.Apps {
	apps := new(pusher.Apps)
	if err := apps.Set([]pusher.App{
		{ID: "1", Key: "kept", Secret: "s", Prefix: "kept:"}, {ID: "2", Key: "live", Secret: "s", Prefix: "live:"},
	}); err != nil {
		panic(err) // the apps are fixed
	}
	return apps
}

func (pusherTongue) serve(n *node, c *client, over *conn) {
	family, _, _ := strings.Cut(c.stream.channel, ":")
	r := &http.Request{URL: &url.URL{RawQuery: "protocol=7&version=8.6.0"}}
	r.SetPathValue("key", family)
	hello, err := n.apps.Greet(r)
	if err != nil {
		panic(err) // the app exists
	}
	n.serve(over, hello)
}

func (pusherTongue) first(c *client) string {
	_, name, _ := strings.Cut(c.stream.channel, ":")
	return toJSON(map[string]any{"event": "pusher:subscribe", "data": map[string]string{"channel": name}})
}

func (pusherTongue) hear(c *client, line []byte) (say string, stays bool) {
	var f struct {
		Event string
		Data  json.RawMessage
	}
	if !c.parse(line, &f) {
		return "", false
	}
	switch f.Event {
	case "pusher_internal:subscription_succeeded":
		c.enters("", false)
	case "message":
		c.hears(bytes.Trim(f.Data, `"`), "")
	case "pusher:ping":
		return `{"event":"pusher:pong","data":{}}`, true
	case "pusher:subscription_error", "pusher:error":
		return "", c.refused(f.Event, line)
	}
	return "", true
}

// eventsTongue is Server-Sent Events.
type eventsTongue struct{}

func (eventsTongue) String() string { return "events" }

func (eventsTongue) serve(n *node, c *client, over *conn) {
	r, end := over.request("/events?envelope=true&channel=" + c.stream.channel)
	defer end()
	r.Header.Set("Accept", transport.EventStream)
	r.Header.Set("Last-Event-ID", c.cursor)
	w := &response{header: make(http.Header), body: &body{conn: over}}
	(&transport.SSE{Gateway: n.Gateway, Native: native.Protocol{}}).ServeHTTP(w, r)
	over.Close(gateway.Left, nil)
}

func (eventsTongue) first(c *client) string {
	c.event = event{}
	return ""
}

// hear collects the fields of an event and handles it at the empty line that ends it. An
// incomplete event is ignored.
func (eventsTongue) hear(c *client, line []byte) (say string, stays bool) {
	field, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), ": ")
	switch {
	case field == "":
		e := c.event
		c.event = event{}
		return "", e.tell(c)
	case field == "id":
		c.event.id = value
	case field == "event":
		c.event.name = value
	case field == "data":
		c.event.data = value
	case strings.HasPrefix(field, "{"):
		return "", c.refused("by a status", line)
	}
	return "", true
}

// event is a server-sent event.
type event struct{ id, name, data string }

func (e event) tell(c *client) (stays bool) {
	if e.name == "gap" {
		c.misses("gap")
	}
	if e.data != "" {
		var f struct {
			Type, Cursor string
			Data         json.RawMessage
		}
		if !c.parse([]byte(e.data), &f) {
			return false
		}
		if f.Type == "message" {
			c.hearsBefore(f.Data, f.Cursor, cmp.Or(e.id, c.cursor))
		}
	}
	if e.id == "" {
		return true
	}
	if !c.entered {
		c.entered = true
		c.record(heard{told: "entered"})
	}
	c.cursor = e.id
	return true
}

// pollTongue is long polling: one request after the other.
type pollTongue struct{}

func (pollTongue) String() string { return "longpoll" }

func (pollTongue) serve(n *node, _ *client, over *conn) {
	defer over.sever()
	for {
		idle, end := context.WithTimeout(context.Background(), time.Minute)
		frame, err := over.Read(idle)
		end()
		if err != nil {
			return
		}
		r, end := over.request(string(frame.Data))
		answer := new(bytes.Buffer)
		(&transport.LongPoll{Gateway: n.Gateway, Native: native.Protocol{}}).ServeHTTP(&response{header: make(http.Header), body: answer}, r)
		end()
		_, _ = over.Write([][]byte{append(bytes.TrimSpace(answer.Bytes()), '\n')}, time.Minute)
	}
}

func (pollTongue) first(c *client) string {
	return "/poll?" + url.Values{"channel": {c.stream.channel}, "cursor": {c.cursor}, "wait": {"5s"}}.Encode()
}

func (p pollTongue) hear(c *client, line []byte) (say string, stays bool) {
	var f struct {
		Error *struct{ Code string }

		Messages []struct {
			Cursor string
			Data   json.RawMessage
		}
		Cursor    string
		Gaps      []string
		Recovered *bool
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return p.first(c), true // no new messages
	}
	if !c.parse(line, &f) {
		return "", false
	}
	if f.Error != nil {
		return "", c.refused(f.Error.Code, line)
	}
	if !c.entered {
		c.entered = true
		c.record(heard{told: "entered"})
	}
	if len(f.Gaps) > 0 {
		c.misses("gap")
	}
	if f.Recovered != nil && !*f.Recovered {
		c.misses("not recovered")
	}
	for _, m := range f.Messages {
		c.hears(m.Data, m.Cursor)
	}
	c.cursor = f.Cursor
	return p.first(c), true
}

// request returns a GET request whose context ends with the connection, or when end is called.
func (c *conn) request(path string) (r *http.Request, end context.CancelFunc) {
	ctx, end := context.WithCancel(context.Background())
	go func() {
		select {
		case <-c.over:
			end()
		case <-ctx.Done():
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		panic(err) // the path is valid
	}
	r.RemoteAddr = "192.0.2.1:1"
	return r, end
}

// response is an http.ResponseWriter that writes to a connection.
type response struct {
	header http.Header
	body   io.Writer
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) WriteHeader(int)             {}
func (r *response) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *response) Flush()                      {}

// body writes lines to a connection, and gives up when the kernel would.
type body struct {
	*conn
	rest []byte // the beginning of an incomplete line
}

func (b *body) Write(p []byte) (int, error) {
	b.rest = append(b.rest, p...)
	end := bytes.LastIndexByte(b.rest, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	left, err := b.conn.Write([][]byte{b.rest[:end]}, 30*time.Second)
	if err == nil && len(left) > 0 {
		err = io.ErrShortWrite
	}
	b.rest = bytes.Clone(b.rest[end:])
	return len(p), err
}

func toJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps of strings can be encoded
	}
	return string(text)
}
