// Package cluster connects this node with the others: it knows which nodes are alive, asks
// all of them a question, and tells one of them something.
//
// No central list of nodes exists. Each node announces itself to the others over reserved
// channels of the broker. Clients and backends cannot use these, because the name of an
// ordinary channel contains no space.
//
//	tidegate nodes          for all nodes
//	tidegate node NAME      for the node NAME only
//
// A message there is a JSON object with one field of [dispatch] (wire.go). Unknown fields
// are ignored, so that nodes of different versions work together. What a node asks has
// a topic; its content is opaque to this package.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// Config configures a Cluster. Answers and ByClients may be nil.
type Config struct {
	Broker    broker.Broker
	Node      string                   // name of this node, unique in the cluster and never used again
	Lease     time.Duration            // a node that is silent for this long counts as dead
	About     func() any               // returns what each sign of life says about this node, as JSON
	Lost      func(node string)        // called for each other node that has left or died; must not block
	Died      func()                   // also called if the node has died; must not block
	LastWord  func() time.Time         // called after Run's context has ended; returns the time by which Run must return
	Explain   func(err error) *Failure // converts an error of an Answerer or Ear for the other node
	Answers   map[string]Answerer      // by topic; for Ask
	ByClients []string                 // topics in Answers that clients' requests can cause: no other question waits for these
	Log       *slog.Logger
	Wall      *wall.Wall // catches panics, including those of Answers and of each Ear
}

// Cluster is this node's membership. All methods are safe for concurrent use.
type Cluster struct {
	// Fixed at birth.
	config    Config
	directory *directory
	asking    *asking
	inbox     *queue[[]byte]
	greet     chan string   // nodes to send a hello to
	missed    chan struct{} // messages may have been missed: send hello again
	joined    chan struct{} // closed once this node hears the others
	joinedAt  time.Time     // set before joined is closed
	deaf      atomic.Bool   // the broker cannot be used
	unheard   atomic.Bool   // this node's own last hello has not come back yet
	ears      sync.Map      // of Ear, by topic

	// Log what others may cause at any rate.
	untaken, unanswered, strange rate.Sometimes
}

const (
	reservedPrefix = "tidegate "
	nodesChannel   = reservedPrefix + "nodes"
)

// IsReserved reports whether a channel is reserved for messages between nodes.
func IsReserved(channel string) bool { return strings.HasPrefix(channel, reservedPrefix) }

func nodeChannel(node string) string { return reservedPrefix + "node " + node }

const (
	minLease    = 10 * time.Millisecond
	logPause    = time.Minute // between two lines about the same
	joinRetry   = 500 * time.Millisecond
	byePatience = time.Second
)

// New returns a Cluster. It knows no other node until Run is called.
func New(c Config) *Cluster {
	c.Lease = max(c.Lease, minLease)
	return &Cluster{
		config:    c,
		directory: &directory{nodes: make(map[string]listing)},
		asking:    newAsking(),
		inbox:     newQueue[[]byte](inboxMost, inboxBytes),
		greet:     make(chan string, mostNodes),
		missed:    make(chan struct{}, 1),
		joined:    make(chan struct{}),

		untaken: rate.Sometimes{Interval: logPause}, unanswered: rate.Sometimes{Interval: logPause}, strange: rate.Sometimes{Interval: logPause},
	}
}

// Receive handles a message from a reserved channel. It does not block. A message for which
// there is no room is dropped, so its sender gets no answer.
func (c *Cluster) Receive(m *broker.Message) {
	if !c.inbox.put(m.Payload, len(m.Payload)) {
		c.untaken.Do(func() { c.config.Log.Warn("other nodes say more than this one can take in") })
	}
}

// Link records whether the broker can be used; err is nil if it can. While it cannot, no
// node is declared dead for being silent.
func (c *Cluster) Link(err error) {
	c.deaf.Store(err != nil)
	if err == nil {
		c.Missed()
	}
}

// Missed is called when messages of other nodes may have been lost. No node is declared
// dead until all have had time to say hello again. Missed does not block.
func (c *Cluster) Missed() {
	c.directory.renew(time.Now())
	select {
	case c.missed <- struct{}{}:
	default:
	}
}

// Joined returns nil once this node hears the others.
func (c *Cluster) Joined() error {
	select {
	case <-c.joined:
		return nil
	default:
		return errJoining
	}
}

var errJoining = errors.New("the node does not hear the others yet")

// Alive returns the sorted names of the live nodes, including this one.
func (c *Cluster) Alive() []string {
	names := append(slices.Collect(maps.Keys(c.directory.list())), c.config.Node)
	slices.Sort(names)
	return names
}

// Others returns what each other live node last said about itself, by name.
func (c *Cluster) Others() map[string]json.RawMessage { return c.directory.list() }

// send publishes to other nodes and returns once the broker has confirmed.
func (c *Cluster) send(ctx context.Context, channel string, d dispatch) error {
	m, err := message(channel, d)
	if err == nil {
		_, err = broker.Publish(ctx, c.config.Broker, m, broker.PublishOptions{})
	}
	c.noteSent(err)
	return err
}

// post is like send but does not wait.
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

// Answerer does what another node asks. It calls say for each part of its answer, with a
// value of at most about PartBytes as JSON. The asking node combines the parts of all
// nodes. An error means that not everything was done.
type Answerer func(ctx context.Context, body json.RawMessage, say func(any) error) error

// PartBytes is the approximate size of a message between nodes.
const PartBytes = 32 << 10

// Ear handles what a node tells. It is called for one message of other nodes at a time, in order
// of arrival, and for what this node tells itself in the goroutine of the sender, so it may be
// called concurrently. It must not block. Its error is returned to the sender.
type Ear func(from string, body json.RawMessage) error

// Hear makes ear handle what nodes tell under a topic. Call it once for a topic, before any node
// tells something under it.
func (c *Cluster) Hear(topic string, ear Ear) { c.ears.Store(topic, ear) }
