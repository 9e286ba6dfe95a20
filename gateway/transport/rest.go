package transport

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"tidegate/gateway"
)

// A connection rests, without a goroutine and with the poller to wait for its
// peer, when no frame has begun. To begin and end a rest costs about as much as
// to read a short message, so a connection whose peer is lively waits by itself,
// until the peer has been silent for a lull.
const (
	lull  = 2 * time.Second
	often = 5 // rests in a row, each within a lull of the one before, are too many
)

// begin gives a connection its session, which it serves until the end; serving
// waits for that. What the session has to say first goes out together with the
// answer to the handshake.
func (c *webSocketConn) begin(session *gateway.Session, poller *poller, serving *sync.WaitGroup) {
	serving.Add(1)
	c.wire.session, c.poller, c.serving = session, poller, serving
	c.wire.restless = poller == nil || c.wire.in.socket == nil
	if !session.HasNews() && !c.wire.answer() {
		session.Close(gateway.Lost) // a fresh connection that takes a few bytes only
	}
	session.Attach(c)
	if !c.restAtOnce() {
		go c.serve()
	}
}

// restAtOnce is for a client that has not even been answered: it has nothing to say
// yet. It reports whether the connection rests, as rest does.
func (c *webSocketConn) restAtOnce() bool {
	return !c.wire.restless && len(c.wire.in.unread) == 0 && c.awaitPoller()
}

// serve hands on what the client says until the session ends, and then lingers.
// Or it returns before that, when the connection rests; it is called again.
func (c *webSocketConn) serve() {
	defer c.wire.shared.wall.Catch("read from a WebSocket", c.crash)
	for {
		switch err := c.receive(); {
		case err == errSilent:
			if c.rest() {
				return
			}
		case err != nil:
			c.wire.session.End(err)
			c.linger()
			c.serving.Done()
			return
		}
	}
}

// crash ends a connection whose reading goroutine has panicked. What the library
// held for it, and the memory of a message, is nobody's any more.
func (c *webSocketConn) crash() {
	defer c.serving.Done()
	c.wire.session.End(gateway.Failed)
	c.wire.awaitParted()
	c.wire.out.close(time.Now().Add(lingerPatience))
}

func (c *webSocketConn) receive() error {
	ctx := context.Background() // the request's ended with the handler
	frame, err := c.Read(ctx)
	if err != nil {
		return err
	}
	return c.wire.session.Receive(ctx, frame)
}

// rest reports whether the connection rests. If so, c is the caller's no more.
func (c *webSocketConn) rest() bool {
	if c.restsOften() {
		c.wire.waitLively()
		return false
	}
	c.giveUpParser()
	return c.awaitPoller()
}

// awaitPoller reports whether the poller serves c from now on, which is the
// caller's no more then.
func (c *webSocketConn) awaitPoller() bool {
	if !c.poller.watch(c) {
		c.wire.restless = true
		return false
	}
	// A Close that came before watch has found nobody to rouse.
	return !c.wire.isClosing() || !c.poller.release(c)
}

func (c *webSocketConn) restsOften() bool {
	now := time.Since(c.wire.opened)
	if now-c.rested < lull {
		c.rests++
	} else {
		c.rests = 0
	}
	c.rested = now
	return c.rests >= often
}

// takeParser sees to it that there is a parser.
func (c *webSocketConn) takeParser() (err error) {
	if c.parser != nil {
		return nil
	}
	var spare bool
	if c.parser, spare = c.wire.shared.parsers.Get().(*parser); !spare {
		if c.parser, err = newParser(c.limit); err != nil {
			return err
		}
	}
	c.parser.wire.Store(&c.wire)
	c.parser.marks = marks{}
	c.wire.waited = false
	return nil
}

// giveUpParser leaves the parser, if there is one, to others, unless the library
// might close it still: it has a timer for a control frame, of 5 s.
func (c *webSocketConn) giveUpParser() {
	p := c.parser
	if p == nil {
		return // there was nothing to read, though somebody said so
	}
	c.parser = nil
	p.wire.Store(nil)
	if !c.wire.waited && c.wire.silence() < time.Second {
		c.wire.shared.parsers.Put(p)
	}
}

// await reads what comes next.
func (w *wire) await(p []byte) (n, fresh int, err error) {
	for {
		if w.session != nil && len(w.in.unread) == 0 {
			w.session.Rest()
		}
		if !w.lively && w.mayRest() {
			return w.in.glance(p)
		}
		w.waited = w.waited || w.inFrame && len(w.in.unread) == 0
		n, fresh, err = w.in.read(p)
		if !w.lively || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, fresh, err
		}
		w.lively = w.staysLively()
	}
}

// lookAhead returns the error that there is instead of a frame, if the connection may
// rest. To hear of it from the library would cost as much as a short message does,
// and a parser.
func (w *wire) lookAhead() error {
	if w.lively || !w.mayRest() {
		return nil
	}
	fresh, err := w.in.peek()
	if fresh > 0 {
		w.hear()
	}
	w.readErr = err
	return err
}

// mayRest reports whether no frame has begun.
func (w *wire) mayRest() bool {
	return !w.restless && !w.inFrame && !w.inMessage && !w.isClosing()
}

// waitLively lets reads wait for a lively peer.
func (w *wire) waitLively() { w.lively = w.waitUntil(time.Now().Add(lull)) }

// staysLively reports whether a peer for which a read has waited in vain is lively
// still. Then reads wait for it again.
func (w *wire) staysLively() bool {
	silent := w.silence()
	if silent >= lull && w.mayRest() {
		w.waitUntil(time.Time{})
		return false
	}
	return w.waitUntil(time.Now().Add(max(lull-silent, lull/2)))
}

func (w *wire) silence() time.Duration {
	return time.Since(w.opened) - time.Duration(w.heard.Load())
}

// waitUntil sets the time until which a read waits; zero: none. When reading is
// about to end it does not, since that has a time of its own.
func (w *wire) waitUntil(end time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf || w.closing {
		return false
	}
	return w.Conn.SetReadDeadline(end) == nil
}
