package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tidegate/broker"

	"github.com/coder/websocket"
)

// socket is a WebSocket whose frames are read into a queue, so that the client is never slow.
type socket struct {
	c      *oneChannel
	conn   *websocket.Conn
	frames chan string // "text " or "binary " before each
}

func (c *oneChannel) dial(p *process, path string) *socket {
	c.t.Helper()
	conn, _, err := websocket.Dial(c.ctx, "ws://"+p.host()+path, nil)
	must(c.t, err)
	s := &socket{c, conn, make(chan string, 1000)}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for {
			kind, frame, err := conn.Read(c.ctx)
			if err != nil {
				return
			}
			s.frames <- map[websocket.MessageType]string{websocket.MessageText: "text ", websocket.MessageBinary: "binary "}[kind] + string(frame)
		}
	}()
	c.t.Cleanup(func() { _ = conn.CloseNow(); <-reading })
	return s
}

func (s *socket) write(kind websocket.MessageType, frame string) {
	s.c.t.Helper()
	if err := s.conn.Write(s.c.ctx, kind, []byte(frame)); err != nil {
		s.c.t.Fatal(err)
	}
}

func (s *socket) writeObject(object any) {
	s.c.t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		s.c.t.Fatal(err)
	}
	s.write(websocket.MessageText, string(encoded))
}

// until returns the next frame that contains text.
func (s *socket) until(text string) string {
	s.c.t.Helper()
	for {
		if frame := next(s.c, s.frames); strings.Contains(frame, text) {
			_, frame, _ = strings.Cut(frame, " ")
			return frame
		}
	}
}

func (c *oneChannel) sayNative() func(utterance) {
	s := c.dial(c.speaks, "/ws")
	return func(m utterance) {
		c.t.Helper()
		publish := map[string]any{"type": "publish", "id": 1, "channel": everyRoom, "event": m.event}
		switch m.kind {
		case broker.JSON:
			publish["data"] = json.RawMessage(m.payload)
		case broker.Text:
			publish["text"] = m.payload
		default:
			publish["binary"] = []byte(m.payload)
		}
		s.writeObject(publish)
		s.until(`"published"`)
	}
}

func (c *oneChannel) hearNative() func() string {
	s := c.dial(c.listens, "/ws")
	s.writeObject(map[string]any{"type": "subscribe", "id": 1, "channel": everyRoom})
	s.until(`"subscribed"`)
	return func() string { return c.native(c.objectOf(s.until(`"message"`))) }
}

func (c *oneChannel) sayRaw() func(utterance) {
	s := c.dial(c.speaks, "/raw/"+everyRoom)
	return func(m utterance) {
		c.t.Helper()
		kind := websocket.MessageText
		if m.kind == broker.Binary {
			kind = websocket.MessageBinary
		}
		s.write(kind, m.payload)
	}
}

func (c *oneChannel) hearRaw() func() string {
	s := c.dial(c.listens, "/raw/"+everyRoom)
	return func() string { return next(c, s.frames) }
}

// joinPusher returns a socket that is subscribed to the channel.
func (c *oneChannel) joinPusher(p *process) *socket {
	c.t.Helper()
	s := c.dial(p, "/app/key?protocol=7")
	data, _ := c.objectOf(s.until("pusher:connection_established"))["data"].(string)
	id, _ := c.objectOf(data)["socket_id"].(string)
	s.writeObject(map[string]any{"event": "pusher:subscribe", "data": map[string]string{
		"channel": everyRoom, "auth": "key:" + pusherSignature(id+":"+everyRoom),
	}})
	s.until("pusher_internal:subscription_succeeded")
	return s
}

func pusherSignature(text string) string {
	mac := hmac.New(sha256.New, []byte("a secret"))
	io.WriteString(mac, text)
	return hex.EncodeToString(mac.Sum(nil))
}

func (c *oneChannel) sayPusher() func(utterance) {
	s := c.joinPusher(c.speaks)
	return func(m utterance) {
		c.t.Helper()
		s.writeObject(map[string]any{"event": m.event, "channel": everyRoom, "data": m.payload})
	}
}

func (c *oneChannel) sayPusherBackend(m utterance) {
	c.t.Helper()
	body, _ := json.Marshal(map[string]string{"name": m.event, "channel": everyRoom, "data": m.payload})
	query := fmt.Sprintf("auth_key=key&auth_timestamp=%d&auth_version=1.0&body_md5=%x", time.Now().Unix(), md5.Sum(body))
	signature := pusherSignature("POST\n/apps/1/events\n" + query)
	c.request(http.MethodPost, c.speaks.public("/apps/1/events?"+query+"&auth_signature="+signature), "application/json", "", string(body))
}

func (c *oneChannel) hearPusher() func() string {
	s := c.joinPusher(c.listens)
	return func() string { return inOrder(c.objectOf(s.until(everyRoom))) }
}

func (c *oneChannel) dialCentrifuge(p *process) *socket {
	c.t.Helper()
	s := c.dial(p, "/connection/websocket")
	s.write(websocket.MessageText, `{"id":1,"connect":{}}`)
	s.until(`"connect"`)
	return s
}

func (c *oneChannel) sayCentrifuge() func(utterance) {
	s := c.dialCentrifuge(c.speaks)
	return func(m utterance) {
		c.t.Helper()
		s.writeObject(map[string]any{"id": 2, "publish": map[string]any{"channel": everyRoom, "data": json.RawMessage(m.payload)}})
		s.until(`"publish"`)
	}
}

func (c *oneChannel) hearCentrifuge() func() string {
	s := c.dialCentrifuge(c.listens)
	s.writeObject(map[string]any{"id": 2, "subscribe": map[string]string{"channel": everyRoom}})
	s.until(`"subscribe"`)
	return func() string {
		push, _ := c.objectOf(s.until(`"push"`))["push"].(map[string]any)
		publication, _ := push["pub"].(map[string]any)
		return inOrder(publication, "offset", "epoch", "info", "time")
	}
}
