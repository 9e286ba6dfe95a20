// Package cluster is this node among the others: which nodes are alive; ask all of
// them, tell one of them something.
//
// No list of nodes is kept anywhere: each node says to the others that it is
// alive, over reserved channels of the broker. Clients and backends cannot use
// those, since the name of a channel has no space in it.
//
//	tidegate nodes          every node listens here
//	tidegate node NAME      what is for the node NAME alone
//
// A message there is a JSON object with one field of [dispatch]. Unknown fields
// are ignored, so that nodes of different versions get along. What nodes ask and
// tell each other is said under topics, which this package knows nothing of.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// Config is what a Cluster is made of. Broker, Node, Explain, Log and Wall are required.
type Config struct {
	Broker  broker.Broker
	Node    string                   // the name of this node, unique in the cluster and in time
	Lease   time.Duration            // a node that is silent for so long is dead
	About   func() any               // told to the others with each sign of life, as JSON; nil: nothing
	Lost    func(node string)        // told of each other node that left or died; must not block; nil: nobody
	Explain func(err error) *Failure // why what another node wanted is not done
	Answers map[string]Answerer      // by topic; what other nodes may Ask
	Ears    map[string]Ear           // by topic; what other nodes may Tell
	Log     *slog.Logger
	Wall    *wall.Wall // catches panics, of Answers and Ears too
}

// Cluster is this node's part in it. All methods may be called concurrently.
type Cluster struct {
	// Fixed at birth.
	config    Config
	directory *directory
	asking    *asking
	telling   *telling
	inbox     chan []byte   // what was received and not yet read
	greet     chan string   // nodes that want to hear of this one
	missed    chan struct{} // something may have been: say hello again
	joined    chan struct{} // closed when this node hears the others
	joinedAt  time.Time     // set before joined is closed
	deaf      atomic.Bool   // the broker cannot be used
}

// Failure is why not all is done of what a node was asked or told. It is an error.
type Failure struct {
	Code string // unavailable, or one of Config.Explain
	Text string // says what to do
}

func (f *Failure) Error() string { return f.Text }

// unavailable is the Code of this package's own failures.
const unavailable = "unavailable"

func failf(format string, args ...any) *Failure {
	return &Failure{unavailable, fmt.Sprintf(format, args...)}
}

const (
	reservedPrefix = "tidegate "
	nodesChannel   = reservedPrefix + "nodes"
)

// IsReserved reports whether a channel is for what nodes say to each other.
func IsReserved(channel string) bool { return strings.HasPrefix(channel, reservedPrefix) }

func nodeChannel(node string) string { return reservedPrefix + "node " + node }

// dispatch is what nodes say to each other: one of its fields is given.
type dispatch struct {
	Hello    *hello    `json:"hello,omitempty"`
	Bye      *bye      `json:"bye,omitempty"`
	Question *question `json:"question,omitempty"`
	Answer   *answer   `json:"answer,omitempty"`
	Word     *word     `json:"word,omitempty"`
	Receipt  *receipt  `json:"receipt,omitempty"`
}

// hello says that a node is alive. It goes to all at the node's start and then
// every third of its lease, and to one that asks at once.
type hello struct {
	Node    string          `json:"node"`
	LeaseMS int64           `json:"lease"` // without another hello it is dead after so many milliseconds
	Asks    bool            `json:"asks,omitempty"`
	About   json.RawMessage `json:"about,omitempty"`
}

func (h *hello) lease() time.Duration { return time.Duration(h.LeaseMS) * time.Millisecond }

// bye says that a node leaves.
type bye struct {
	Node string `json:"node"`
}

const (
	inboxSize   = 1024
	minLease    = 10 * time.Millisecond
	joinRetry   = 500 * time.Millisecond
	byePatience = time.Second
)

// New returns a Cluster that knows nobody until Run.
func New(c Config) *Cluster {
	c.Lease = max(c.Lease, minLease)
	return &Cluster{
		config:    c,
		directory: newDirectory(),
		asking:    newAsking(),
		telling:   newTelling(),
		inbox:     make(chan []byte, inboxSize),
		greet:     make(chan string, inboxSize),
		missed:    make(chan struct{}, 1),
		joined:    make(chan struct{}),
	}
}

// Run takes part in the cluster until ctx ends; then it says bye. The broker must
// run until it has returned.
func (c *Cluster) Run(ctx context.Context) {
	if !c.join(ctx) {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { c.listen(ctx) })
	parts.Go(func() { c.announce(ctx) })
	for range answerers {
		parts.Go(func() { c.answerOthers(ctx) })
	}
	parts.Wait()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), byePatience)
	defer cancel()
	_ = c.send(last, nodesChannel, dispatch{Bye: &bye{Node: c.config.Node}}) // or it is dead after its lease
}

// Receive takes what arrived on a reserved channel. It does not block: what finds
// no room is lost, and its sender hears no answer.
func (c *Cluster) Receive(m *broker.Message) {
	select {
	case c.inbox <- m.Payload:
	default:
		c.config.Log.Warn("other nodes say more than this one can take in")
	}
}

// Link says whether the broker can be used: nil if so. While it cannot, nobody is
// declared dead for being silent.
func (c *Cluster) Link(err error) {
	c.deaf.Store(err != nil)
	if err == nil {
		c.Missed()
	}
}

// Missed says that nothing could be heard for a while. Until all have had time to
// say hello nobody is declared dead for that. It does not block.
func (c *Cluster) Missed() {
	c.directory.renew(time.Now())
	select {
	case c.missed <- struct{}{}:
	default:
	}
}

// Joined returns nil if this node hears the others.
func (c *Cluster) Joined() error {
	select {
	case <-c.joined:
		return nil
	default:
		return errJoining
	}
}

var errJoining = errors.New("the node does not hear the others yet")

// Alive returns the names of the nodes that are alive, this one included, in
// order.
func (c *Cluster) Alive() []string {
	names := []string{c.config.Node}
	for _, h := range c.directory.list() {
		names = append(names, h.Node)
	}
	slices.Sort(names)
	return names
}

// Others returns what the other nodes that are alive last said about themselves,
// by name.
func (c *Cluster) Others() map[string]json.RawMessage {
	others := make(map[string]json.RawMessage)
	for _, h := range c.directory.list() {
		others[h.Node] = h.About
	}
	return others
}

// join subscribes to the reserved channels, trying until it can.
func (c *Cluster) join(ctx context.Context) bool {
	for _, channel := range []string{nodeChannel(c.config.Node), nodesChannel} {
		for c.config.Broker.Subscribe(ctx, channel) != nil {
			select {
			case <-ctx.Done():
				return false
			case <-c.missed: // the broker is there
			case <-time.After(joinRetry):
			}
		}
	}
	c.joinedAt = time.Now()
	close(c.joined)
	return true
}

// announce says hello.
func (c *Cluster) announce(ctx context.Context) {
	tick := time.NewTicker(c.config.Lease / 3)
	defer tick.Stop()
	c.greetAll(ctx, true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.greetAll(ctx, false)
		case <-c.missed:
			c.greetAll(ctx, true)
		case node := <-c.greet:
			_ = c.send(ctx, nodeChannel(node), dispatch{Hello: c.hello()}) // hellos repeat themselves
		}
	}
}

func (c *Cluster) greetAll(ctx context.Context, asks bool) {
	h := c.hello()
	h.Asks = asks
	_ = c.send(ctx, nodesChannel, dispatch{Hello: h}) // the same
}

func (c *Cluster) hello() *hello {
	h := &hello{Node: c.config.Node, LeaseMS: c.config.Lease.Milliseconds()}
	if c.config.About != nil {
		h.About, _ = json.Marshal(c.config.About()) // without it a node is alive all the same
	}
	return h
}

// send publishes to other nodes, and returns once the broker has confirmed.
func (c *Cluster) send(ctx context.Context, channel string, d dispatch) error {
	m, err := message(channel, d)
	if err == nil {
		_, err = broker.Publish(ctx, c.config.Broker, m, broker.PublishOptions{})
	}
	c.noteSent(err)
	return err
}

// post is send without waiting.
func (c *Cluster) post(channel string, d dispatch) {
	m, err := message(channel, d)
	if err != nil {
		c.noteSent(err)
		return
	}
	c.config.Broker.Publish(m, broker.PublishOptions{}, func(_ broker.Position, err error) { c.noteSent(err) })
}

func message(channel string, d dispatch) (broker.Message, error) {
	payload, err := json.Marshal(d)
	return broker.Message{
		Channel: channel, Payload: payload, Kind: broker.JSON, Time: time.Now().Truncate(time.Millisecond),
	}, err
}

func (c *Cluster) noteSent(err error) {
	if err != nil {
		c.config.Log.Debug("other nodes may not have been told", "error", err)
	}
}

// listen reads the inbox, and declares nodes dead.
func (c *Cluster) listen(ctx context.Context) {
	death := time.NewTimer(c.config.Lease)
	defer death.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case payload := <-c.inbox:
			c.config.Wall.Do("read what another node says", func() { c.read(payload) })
		case <-death.C:
			c.buryDead(time.Now())
		}
		death.Reset(c.untilNextDeath())
	}
}

func (c *Cluster) untilNextDeath() time.Duration {
	next := c.directory.nextEnd()
	if next.IsZero() {
		return c.config.Lease
	}
	return max(time.Until(next), c.config.Lease/100) // while the link is down it stays due
}

// buryDead forgets the nodes whose lease has ended; but while this node cannot
// hear anybody, or if it has been stopped itself, silence says nothing.
func (c *Cluster) buryDead(now time.Time) {
	if c.deaf.Load() {
		return
	}
	if end := c.directory.nextEnd(); !end.IsZero() && now.Sub(end) > c.config.Lease/3 {
		c.Missed()
		return
	}
	for _, node := range c.directory.expire(now) {
		c.config.Log.Warn("a node is dead: it has not been heard of for its lease", "dead", node)
		c.lost(node)
	}
}

func (c *Cluster) read(payload []byte) {
	var d dispatch
	if err := json.Unmarshal(payload, &d); err != nil {
		c.config.Log.Warn("another node is not understood", "error", err)
		return
	}
	switch {
	case d.Hello != nil:
		c.meet(*d.Hello)
	case d.Bye != nil:
		c.part(d.Bye.Node)
	case d.Question != nil:
		c.take(*d.Question)
	case d.Answer != nil:
		c.asking.hear(*d.Answer)
	case d.Word != nil:
		c.hearWord(*d.Word)
	case d.Receipt != nil:
		c.telling.confirm(*d.Receipt)
	}
}

func (c *Cluster) meet(h hello) {
	if h.Node == c.config.Node || h.Node == "" || h.LeaseMS <= 0 {
		return
	}
	if c.directory.hear(h, time.Now()) {
		c.config.Log.Info("a node is there", "new", h.Node)
	}
	if h.Asks {
		select {
		case c.greet <- h.Node:
		default: // it hears of this node within a third of a lease
		}
	}
}

func (c *Cluster) part(node string) {
	if c.directory.forget(node) {
		c.config.Log.Info("a node has left", "left", node)
		c.lost(node)
	}
}

// lost tells who must know that a node is alive no more.
func (c *Cluster) lost(node string) {
	c.asking.lost(node)
	c.telling.lost(node)
	if c.config.Lost != nil {
		c.config.Lost(node)
	}
}
