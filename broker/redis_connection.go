package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"tidegate/broker/lock"
)

// connection is one connection of a link. Any error ends it.
type connection struct {
	// Immutable after construction, or set before send and receive begin.
	link *link
	conn net.Conn
	r    *wireReader
	mark string // of the Redis process at the other end; see markOf

	restored atomic.Bool // a partition's subscriptions have been restored on it

	waits atomic.Bool // receive waits for Redis: it has handled all that has arrived

	// Used only by receive.
	held      []Message // messages since one with another mark; see deliver
	heldBytes int       // their memory

	// Used only by send.
	late   bool   // Redis does not answer in time
	output []byte // commands still to be written

	// Guarded by mu.
	mu      lock.Mutex[lock.Connection]
	asked   []command // commands that Redis has not answered, oldest first
	waiting time.Time // when the last answer came or, if none was due, when asked became non-empty
	silent  int       // beats since then at which receive waited
}

// command is a command that Redis has to answer.
type command struct {
	kind      commandKind
	partition *partition // nil for hello
	life      uint64     // value of the partition's life when the command was made
	names     []string   // names still to be confirmed
	batch     []joiner   // of a subscribe
}

type commandKind byte

const (
	hello       commandKind = iota // answered by one reply
	subscribe                      // answered by one push for each name
	unsubscribe                    // like subscribe
)

// A connection is probed every beat. If it has not answered for lateAfter it is late: what
// needs it is unavailable, within a second of the last answer. After lostBeats it is closed.
// A beat counts only if all that has arrived has been read: else the answer may be in what has
// not, because the node is behind with its messages, or was stopped.
const (
	beat      = 200 * time.Millisecond
	lateAfter = 750 * time.Millisecond
	lostBeats = 25
)

// run connects, subscribes, and receives until something fails. It returns the reason.
func (c *connection) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.dial(ctx); err != nil {
		return fmt.Errorf("connect to redis: %w", err)
	}
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	if err := c.greet(); err != nil {
		c.link.servers.refusals.note(err)
		return fmt.Errorf("connect to redis: %s: %w", c.link.address, err)
	}
	c.link.connect()
	wall := c.link.servers.wall
	var sender sync.WaitGroup
	sender.Go(func() { cancel(wall(func() error { return c.send(ctx) })) })
	cancel(wall(func() error { return c.receive() }))
	sender.Wait()
	return context.Cause(ctx)
}

func (c *connection) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := c.link.servers.topology.dial(ctx, c.link.address)
	if err != nil {
		return err
	}
	c.conn, c.r = conn, newWireReader(c)
	return nil
}

// Read reads from Redis. The wireReader calls it only when all complete answers have been
// handled.
func (c *connection) Read(p []byte) (int, error) {
	c.link.board.receiver.Rest()
	c.waits.Store(true)
	defer c.waits.Store(false)
	return c.conn.Read(p)
}

// greet logs in and learns the role and the run_id of the server.
func (c *connection) greet() error {
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	args := []string{"3"}
	if target := c.link.servers.target; target.password != "" {
		args = append(args, "AUTH", cmp.Or(target.user, "default"), target.password)
	}
	ask := appendCommand(appendCommand(nil, "HELLO", args...), "INFO", "server")
	if _, err := c.conn.Write(ask); err != nil {
		return err
	}
	said, err := c.r.next()
	if err != nil {
		return err
	}
	if err := checkHello(said); err != nil {
		return err
	}
	if said, err = c.r.next(); err != nil {
		return err
	}
	switch said.kind {
	case '$', '=':
		c.mark = markOf(fieldOf(said.fields[0], "run_id"))
	case '-', '!':
		if err := redisRefusal(said.fields[0]); !isForbidden(err) {
			return err
		}
	default:
		return fmt.Errorf("%w: %c in answer to INFO", errBrokenProtocol, said.kind)
	}
	return c.conn.SetDeadline(time.Time{})
}

// checkHello checks the answer to HELLO. It returns an error unless the server is a master.
func checkHello(said answer) error {
	switch {
	case said.kind == '-' || said.kind == '!':
		return redisRefusal(said.fields[0])
	case said.kind != '%' && said.kind != '*':
		return fmt.Errorf("%w: %c in answer to HELLO", errBrokenProtocol, said.kind)
	case isReplica(said.field("role")):
		return errReplica
	}
	return nil
}

// receive handles what arrives until the connection fails, and returns the reason.
func (c *connection) receive() error {
	defer c.link.board.receiver.Rest()
	for {
		said, err := c.r.next()
		if err != nil {
			return fmt.Errorf("receive from redis: %w", err)
		}
		if said.kind == '>' {
			err = c.takePush(said)
		} else {
			err = c.takeAnswer(said)
		}
		if err != nil {
			return err
		}
	}
}

// takePush handles a push, which has three fields:
//
//	message      channel  payload    also smessage
//	subscribe    channel  count      also ssubscribe, unsubscribe, sunsubscribe
func (c *connection) takePush(said answer) error {
	if !said.flat || string(said.kinds) != "$$$" && string(said.kinds) != "$$:" {
		return fmt.Errorf("%w: a push of the shape %.40q", errBrokenProtocol, said.kinds)
	}
	kind, name := said.fields[0], said.fields[1]
	channel, partition, ours := c.link.servers.cut(name)
	if !ours {
		return fmt.Errorf("%w: a push on %.40q", errBrokenProtocol, name)
	}
	p := c.link.board.all[partition]
	switch kind {
	case "message", "smessage":
		m, other := decodePublished(channel, said.fields[2], c.mark)
		return c.deliver(p, m, other)
	case "subscribe", "ssubscribe":
		return c.confirm(name)
	case "unsubscribe", "sunsubscribe":
		c.parted(p, name)
		return nil
	}
	return fmt.Errorf("%w: a push of kind %.40q", errBrokenProtocol, kind)
}

// deliver hands a message over, unless it has the mark of another process. That may be
// forged; or the server has become a replica, and passes on what is published at its master,
// which history will repeat. So this message and all after it are held until the server has
// said what it is. If it is a replica, they are dropped: the connection then ends, and they
// count as missed.
func (c *connection) deliver(p *partition, m Message, other bool) error {
	switch {
	case other && c.held == nil:
		c.link.suspect()
	case c.held == nil:
		p.trust.hear(&m)
		p.receive(c.link.carrier, c.link.board.receiver, m)
		return nil
	}
	c.held = append(c.held, m)
	if c.heldBytes += int(unsafe.Sizeof(m)) + m.Size(); c.heldBytes > mostHeld {
		return fmt.Errorf("redis link: %w: %d messages wait for it to say what it is", errNoAnswer, len(c.held))
	}
	return nil
}

const mostHeld = mostBulk // bytes; more than Redis keeps for a subscriber, unless it is told to

// release hands over the messages that are held.
func (c *connection) release() {
	held := c.held
	c.held, c.heldBytes = nil, 0
	for _, m := range held {
		p := c.link.board.all[c.link.servers.partitionOf(m.Channel)]
		_ = c.deliver(p, m, false) // nothing is held any more
	}
}

// confirm handles the confirmation of one subscription. The partition is told of a whole
// batch at once, so that its lock, which many subscribers and messages compete for, is
// taken once.
func (c *connection) confirm(name string) error {
	q, done := c.confirmName(subscribe, name)
	switch {
	case q == nil:
		return fmt.Errorf("%w: nobody has subscribed %.40q", errBrokenProtocol, name)
	case done:
		q.partition.confirmed(c.link.carrier, q.life, q.batch)
		c.restore(q.partition)
	}
	return nil
}

// restore reports a partition as up if its former subscriptions have all been restored.
func (c *connection) restore(p *partition) {
	if p.restore(c.link.carrier, c.link.board.receiver) {
		c.restored.Store(true)
		c.link.board.up(part{partition: p})
	}
}

// parted handles the end of a subscription. If nobody has asked for it, its slot has moved.
func (c *connection) parted(p *partition, name string) {
	if q, _ := c.confirmName(unsubscribe, name); q == nil {
		c.link.fail(p, errUnsubscribed)
		c.link.servers.stale()
	}
}

var errUnsubscribed = errors.New("redis ended a subscription by itself")

// confirmName removes name from the oldest command if the command is of the given kind and
// name is its next one. It returns that command, and whether all its names are confirmed;
// or nil.
func (c *connection) confirmName(kind commandKind, name string) (q *command, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 || c.asked[0].kind != kind || c.asked[0].names[0] != name {
		return nil, false
	}
	q = &c.asked[0]
	if q.names = q.names[1:]; len(q.names) > 0 {
		c.r.awaited = q.names[0]
	}
	return c.answered(len(q.names) == 0), len(q.names) == 0
}

// answered records that Redis has answered the oldest command, and removes the command if
// the answer is complete. The caller must hold mu.
func (c *connection) answered(whole bool) *command {
	q := &c.asked[0]
	c.waiting, c.silent = time.Now(), 0
	c.link.answers.Add(1)
	if whole {
		c.asked = c.asked[1:]
	}
	return q
}

// takeAnswer handles the answer to the oldest command.
func (c *connection) takeAnswer(said answer) error {
	q := c.takeOldest()
	refused := said.kind == '-' || said.kind == '!'
	switch {
	case q == nil, !refused && q.kind != hello:
		return fmt.Errorf("%w: %c that nobody has asked for", errBrokenProtocol, said.kind)
	case q.kind == hello && !refused:
		err := checkHello(said)
		if err == nil {
			c.release()
		}
		return err
	case q.kind == hello:
		return nil
	}
	err := redisRefusal(said.fields[0])
	c.link.servers.refusals.note(err)
	if q.kind == unsubscribe {
		q.partition.refused(c.link.carrier, q.names)
	} else {
		c.link.fail(q.partition, err)
		c.link.servers.stale()
	}
	return nil
}

func (c *connection) takeOldest() *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		return nil
	}
	return c.answered(true)
}

// send subscribes, unsubscribes and probes until the connection fails, and returns the
// reason.
func (c *connection) send(ctx context.Context) error {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	late := time.NewTimer(lateAfter)
	defer late.Stop()
	for {
		if err := c.sendWaiting(c.link.suspected.Swap(false)); err != nil {
			return fmt.Errorf("send to redis: %w", err)
		}
		silence := c.silence()
		c.watch(silence)
		late.Reset(lateAfter - silence%lateAfter)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.link.wake:
		case <-late.C:
		case <-ticker.C:
			if c.countBeat() == lostBeats {
				return fmt.Errorf("redis link: %w: silent for %v", errNoAnswer, lostBeats*beat)
			}
			c.link.retry()
			c.link.suspect()
		}
	}
}

// sendWaiting sends all waiting commands and, if probe is set, a HELLO.
func (c *connection) sendWaiting(probe bool) error {
	c.output = c.output[:0]
	for _, p := range c.link.carried() {
		c.sendOf(p)
	}
	if probe {
		c.askHello()
	}
	if len(c.output) == 0 {
		return nil
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.output)
	return err
}

// sendOf appends the commands of a partition to output. In a Cluster the channels of a
// command must share a slot, as those of a partition do.
func (c *connection) sendOf(p *partition) {
	part, join, life := p.nextSending(c.link.carrier)
	for batch := range slices.Chunk(part, subscribeBatch) {
		c.ask(command{kind: unsubscribe, partition: p, names: batch})
	}
	if len(join) > 0 {
		names := make([]string, len(join))
		for i, j := range join {
			names[i] = j.name
		}
		c.ask(command{kind: subscribe, partition: p, life: life, names: names, batch: join})
	} else {
		c.restore(p)
	}
}

func (c *connection) ask(q command) {
	name := map[commandKind]string{subscribe: "SUBSCRIBE", unsubscribe: "UNSUBSCRIBE"}[q.kind]
	if c.link.servers.clustered {
		name = "S" + name
	}
	c.output = appendCommand(c.output, name, q.names...)
	c.expect(q)
}

func (c *connection) askHello() {
	c.mu.Lock()
	asked := slices.ContainsFunc(c.asked, func(q command) bool { return q.kind == hello })
	c.mu.Unlock()
	if !asked {
		c.output = appendCommand(c.output, "HELLO", "3")
		c.expect(command{kind: hello})
	}
}

func (c *connection) expect(q command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		c.waiting = time.Now()
	}
	c.asked = append(c.asked, q)
}

// watch checks whether Redis answers. Messages that arrive do not count: the way to Redis
// may be dead all the same.
func (c *connection) watch(silence time.Duration) {
	switch {
	case silence >= lateAfter && !c.late:
		c.late = true
		c.link.late(errNoAnswer)
	case silence < lateAfter && c.late:
		c.late = false
		c.link.late(nil)
	}
}

// countBeat returns how many beats an answer is due that has not arrived.
func (c *connection) countBeat() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) > 0 && c.waits.Load() {
		c.silent++
	}
	return c.silent
}

// silence returns for how long Redis has not answered, or 0 if no answer is due.
func (c *connection) silence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == 0 {
		return 0
	}
	return time.Since(c.waiting)
}
