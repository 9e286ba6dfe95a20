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
// A message there is a JSON object with one field of [dispatch] (wire.go). Unknown fields
// are ignored, so that nodes of different versions get along. What nodes ask and
// tell each other is said under topics, which this package knows nothing of.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/wall"
)

// Config is what a Cluster is made of. Broker, Node, Explain, LastWord, Log and Wall are required.
type Config struct {
	Broker   broker.Broker
	Node     string                   // the name of this node, unique in the cluster and in time
	Lease    time.Duration            // a node that is silent for so long is dead
	About    func() any               // told to the others with each sign of life, as JSON; nil: nothing
	Lost     func(node string)        // told of each other node that left or died; must not block; nil: nobody
	Died     func()                   // told, besides, if it was silent for its lease; must not block; nil: nobody
	LastWord func() time.Time         // asked when Run's context has ended: by when to return
	Explain  func(err error) *Failure // why what another node wanted is not done
	Answers  map[string]Answerer      // by topic; what other nodes may Ask
	Ears     map[string]Ear           // by topic; what other nodes may Tell
	Log      *slog.Logger
	Wall     *wall.Wall // catches panics, of Answers and Ears too
}

// Cluster is this node's part in it. All methods may be called concurrently.
type Cluster struct {
	// Fixed at birth.
	config    Config
	directory *directory
	asking    *asking
	telling   *telling
	inbox     chan []byte   // what was received and not yet read
	unread    room          // of what is in the inbox, which has a place for each
	greet     chan string   // nodes that want to hear of this one
	missed    chan struct{} // something may have been: say hello again
	joined    chan struct{} // closed when this node hears the others
	joinedAt  time.Time     // set before joined is closed
	deaf      atomic.Bool   // the broker cannot be used
	unheard   atomic.Bool   // this node's own last hello has not come back
}

const (
	reservedPrefix = "tidegate "
	nodesChannel   = reservedPrefix + "nodes"
)

// IsReserved reports whether a channel is for what nodes say to each other.
func IsReserved(channel string) bool { return strings.HasPrefix(channel, reservedPrefix) }

func nodeChannel(node string) string { return reservedPrefix + "node " + node }

const (
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
		inbox:     make(chan []byte, inboxMost),
		unread:    room{most: inboxMost, mostBytes: inboxBytes},
		greet:     make(chan string, mostNodes),
		missed:    make(chan struct{}, 1),
		joined:    make(chan struct{}),
	}
}

// Receive takes what arrived on a reserved channel. It does not block: what finds
// no room is lost, and its sender hears no answer.
func (c *Cluster) Receive(m *broker.Message) {
	if !c.unread.take(len(m.Payload)) {
		c.config.Log.Warn("other nodes say more than this one can take in")
		return
	}
	c.inbox <- m.Payload
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

// Answerer does what a node asks, and tells by say what came of it: as often as it
// takes, each time no more than about PartBytes as JSON. What the parts say adds
// up, and so does what the nodes say. An error says that not all of it was done.
type Answerer func(ctx context.Context, body json.RawMessage, say func(any) error) error

// PartBytes is about what one message between nodes holds.
const PartBytes = 32 << 10

// Ear takes what another node tells. It is called for one word at a time, in the
// order in which they came, and must not block. An error is told to the teller.
type Ear func(from string, body json.RawMessage) error
