package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	subprotocol   = "tidegate.v1"
	maxFrame      = 64 << 20 // a page of history can be large
	writePatience = 10 * time.Second
	pongPatience  = 10 * time.Second
	closePatience = time.Second
	usualPing     = 25 * time.Second // if the gateway does not say how often it pings
)

var errSilent = errors.New("the gateway gives no sign of life")

// link is one connection to the gateway.
type link struct {
	// Fixed at birth.
	handle  func(*link, *frame) // called by read for each frame
	conn    *websocket.Conn
	ping    time.Duration // the interval of the gateway's pings
	born    time.Time
	ctx     context.Context // canceled when the link ends
	cancel  context.CancelCauseFunc
	wake    chan struct{} // signaled when queue is not empty
	moving  chan struct{} // closed by move
	move    func()        // called when the gateway asks the client to reconnect
	settled chan struct{} // closed when all subscribes sent by attach are answered
	done    chan struct{} // closed when all goroutines of the link have ended
	tasks   sync.WaitGroup

	heard   atomic.Int64 // when the last frame arrived, in Unix nanoseconds
	reading atomic.Bool  // read is waiting for a frame, not for room in a buffer

	err error // owned by read; may be read after done is closed

	// Guarded by mu.
	mu    sync.Mutex
	queue [][]byte

	// Guarded by the outlet's mu, which is taken before the link's.
	unanswered int    // number of subscribes; attach counts as one until it has sent all
	settle     func() // closes settled, once
}

// dial connects and waits for the welcome. The link does nothing until start is called.
func dial(ctx context.Context, c *Config, handle func(*link, *frame)) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.AttemptTimeout)
	defer cancel()
	header, err := c.header(ctx)
	if err != nil {
		return nil, fmt.Errorf("get a token: %w", err)
	}
	l := newLink(handle)
	conn, answer, err := websocket.Dial(ctx, c.URL, &websocket.DialOptions{
		HTTPClient:     c.HTTPClient,
		HTTPHeader:     header,
		Subprotocols:   []string{subprotocol},
		OnPingReceived: l.hearPing,

		CompressionMode: websocket.CompressionNoContextTakeover, // if the gateway has it on
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", withoutSecrets(c.URL), ofHandshake(answer, err))
	}
	conn.SetReadLimit(maxFrame)
	l.conn = conn
	if err := l.readWelcome(ctx); err != nil {
		_ = conn.CloseNow()
		return nil, fmt.Errorf("connect to %s: %w", withoutSecrets(c.URL), err)
	}
	return l, nil
}

func newLink(handle func(*link, *frame)) *link {
	l := &link{
		handle: handle, ping: usualPing, born: time.Now(),
		wake: make(chan struct{}, 1), moving: make(chan struct{}),
		settled: make(chan struct{}), done: make(chan struct{}),
		unanswered: 1,
	}
	l.move = sync.OnceFunc(func() { close(l.moving) })
	l.settle = sync.OnceFunc(func() { close(l.settled) })
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

func (l *link) readWelcome(ctx context.Context) error {
	_, data, err := l.conn.Read(ctx)
	if err != nil {
		return ofRead(err)
	}
	var welcome frame
	if err := json.Unmarshal(data, &welcome); err != nil || welcome.Type != "welcome" {
		return fmt.Errorf("the first frame is no welcome of Tidegate's native protocol: %.80q", data)
	}
	if welcome.Ping > 0 {
		l.ping = time.Duration(welcome.Ping * float64(time.Second))
	}
	return nil
}

// start starts the goroutines of the link. It ends on close, or by itself on an error.
func (l *link) start() {
	l.hear()
	l.tasks.Go(l.read)
	l.tasks.Go(l.write)
	l.tasks.Go(l.watch)
	go func() {
		l.tasks.Wait()
		close(l.done)
	}()
}

// close says goodbye to the gateway, ends the link, and returns once all its
// goroutines have ended.
func (l *link) close() {
	if l.ctx.Err() == nil {
		hurry := time.AfterFunc(closePatience, func() { l.cancel(context.Canceled) })
		_ = l.conn.Close(websocket.StatusNormalClosure, "")
		hurry.Stop()
	}
	l.cancel(context.Canceled)
	<-l.done
}

// answered records that a subscribe was answered. The caller must hold the outlet's mu.
func (l *link) answered() {
	l.unanswered--
	if l.unanswered == 0 {
		l.settle()
	}
}

// push queues a frame.
func (l *link) push(data []byte) {
	l.mu.Lock()
	l.queue = append(l.queue, data)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) read() {
	var err error
	for err == nil {
		err = l.readFrame()
	}
	if cause := context.Cause(l.ctx); cause != nil && !isFinal(err) && websocket.CloseStatus(err) < 0 {
		err = cause
	}
	l.err = err
	l.cancel(err)
	_ = l.conn.CloseNow()
}

func (l *link) readFrame() error {
	l.reading.Store(true)
	_, data, err := l.conn.Read(l.ctx)
	l.reading.Store(false)
	if err != nil {
		return ofRead(err)
	}
	l.hear()
	var f frame
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("the gateway sent what is no frame: %w", err)
	}
	l.handle(l, &f)
	return l.ctx.Err()
}

func (l *link) write() {
	for {
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		for _, data := range l.takeQueue() {
			if err := l.writeFrame(data); err != nil {
				l.cancel(fmt.Errorf("write to the gateway: %w", err))
				return
			}
		}
	}
}

func (l *link) takeQueue() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.queue
	l.queue = nil
	return queue
}

func (l *link) writeFrame(data []byte) error {
	ctx, cancel := context.WithTimeout(l.ctx, writePatience)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, data)
}

// watch sends a ping after a silence, and ends the link if nothing comes back. While the
// client is too busy to read, the ping also shows the gateway that the client is alive.
func (l *link) watch() {
	for {
		if sleep(l.ctx, max(l.silenceAllowed()-l.silence(), l.ping/2)) != nil {
			return
		}
		if l.reading.Load() && l.silence() < l.silenceAllowed() {
			continue
		}
		l.push(command{Type: "ping"}.encode())
		if sleep(l.ctx, min(l.ping, pongPatience)) != nil {
			return
		}
		if l.reading.Load() && l.silence() >= l.silenceAllowed() {
			l.cancel(errSilent)
			return
		}
	}
}

// silenceAllowed leaves room for a late ping of the gateway.
func (l *link) silenceAllowed() time.Duration { return l.ping * 3 / 2 }

func (l *link) silence() time.Duration {
	return time.Since(time.Unix(0, l.heard.Load()))
}

func (l *link) hear() { l.heard.Store(time.Now().UnixNano()) }

func (l *link) hearPing(context.Context, []byte) (answer bool) {
	l.hear()
	return true
}

// later calls do after d, unless the link ends first. Only read may call it.
func (l *link) later(d time.Duration, do func()) {
	l.tasks.Go(func() {
		if sleep(l.ctx, d) == nil {
			do()
		}
	})
}
