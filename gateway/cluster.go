package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/broker"
)

// cluster is this node among the others. No list of nodes is kept anywhere: each
// node tells the others that it is alive, over reserved channels of the broker.
// Clients and backends cannot use those, since the name of a channel has no
// space in it.
//
//	tidegate nodes          every node listens here
//	tidegate node NAME      what is for the node NAME alone
//
// A message there is a JSON object with one field of [dispatch]. Unknown fields
// are ignored, so that nodes of different versions get along.
type cluster struct {
	// Fixed at birth.
	gateway   *Gateway
	version   string
	since     time.Time
	lease     time.Duration
	directory *directory
	errands   *errands
	inbox     chan []byte   // what was received and not yet read
	asked     chan string   // nodes that want to hear of this one
	missed    chan struct{} // something may have been: say hello again
	joined    chan struct{} // closed when this node hears the others
	joinedAt  time.Time     // set before joined is closed
}

const (
	reservedPrefix = "tidegate "
	nodesChannel   = reservedPrefix + "nodes"
)

func isReserved(channel string) bool { return strings.HasPrefix(channel, reservedPrefix) }

func nodeChannel(node string) string { return reservedPrefix + "node " + node }

// dispatch is what nodes say to each other: one of its fields is given.
type dispatch struct {
	Hello  *hello    `json:"hello,omitempty"`
	Bye    *bye      `json:"bye,omitempty"`
	Errand *errand   `json:"errand,omitempty"`
	Report *report   `json:"report,omitempty"`
	Roll   *rollCall `json:"roll,omitempty"`
}

// hello says that a node is alive. It goes to all at the node's start and then
// every third of its lease, and to one that asks at once.
type hello struct {
	Node     string `json:"node"`
	Version  string `json:"version,omitempty"`
	Since    int64  `json:"since"`    // when it started, in Unix milliseconds
	Sessions int    `json:"sessions"` // at this moment
	LeaseMS  int64  `json:"lease"`    // without another hello it is dead after so many milliseconds
	Asks     bool   `json:"asks,omitempty"`
}

func (h *hello) lease() time.Duration { return time.Duration(h.LeaseMS) * time.Millisecond }

// bye says that a node has closed its sessions and leaves.
type bye struct {
	Node string `json:"node"`
}

const (
	inboxSize   = 1024
	minLease    = 10 * time.Millisecond
	joinRetry   = 500 * time.Millisecond
	byePatience = time.Second
)

func newCluster(g *Gateway, version string, lease time.Duration) *cluster {
	return &cluster{
		gateway: g, version: version, since: time.Now(), lease: max(lease, minLease),
		directory: newDirectory(),
		errands:   newErrands(),
		inbox:     make(chan []byte, inboxSize),
		asked:     make(chan string, inboxSize),
		missed:    make(chan struct{}, 1),
		joined:    make(chan struct{}),
	}
}

// alive returns the names of the nodes that are alive, this one included, in
// order.
func (g *Gateway) alive() []string {
	names := []string{g.node}
	for _, h := range g.cluster.directory.list() {
		names = append(names, h.Node)
	}
	slices.Sort(names)
	return names
}

// run takes part in the cluster until ctx ends; then it says bye.
func (c *cluster) run(ctx context.Context) {
	if !c.join(ctx) {
		return
	}
	var parts sync.WaitGroup
	parts.Go(func() { c.listen(ctx) })
	parts.Go(func() { c.announce(ctx) })
	for range errandRunners {
		parts.Go(func() { c.runErrands(ctx) })
	}
	parts.Wait()

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), byePatience)
	defer cancel()
	c.tell(last, nodesChannel, dispatch{Bye: &bye{Node: c.gateway.node}})
}

// join subscribes to the reserved channels, trying until it can.
func (c *cluster) join(ctx context.Context) bool {
	for _, channel := range []string{nodeChannel(c.gateway.node), nodesChannel} {
		for c.gateway.broker.Subscribe(ctx, channel) != nil {
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

// ready returns nil if this node hears the others.
func (c *cluster) ready() error {
	select {
	case <-c.joined:
		return nil
	default:
		return errJoining
	}
}

var errJoining = errors.New("the node does not hear the others yet")

// announce says hello.
func (c *cluster) announce(ctx context.Context) {
	tick := time.NewTicker(c.lease / 3)
	defer tick.Stop()
	c.tell(ctx, nodesChannel, dispatch{Hello: c.hello(asking)})
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.tell(ctx, nodesChannel, dispatch{Hello: c.hello(stating)})
		case <-c.missed:
			c.tell(ctx, nodesChannel, dispatch{Hello: c.hello(asking)})
		case node := <-c.asked:
			c.tell(ctx, nodeChannel(node), dispatch{Hello: c.hello(stating)})
		}
	}
}

// tone is whether a hello asks for one in return.
type tone bool

const (
	asking  tone = true
	stating tone = false
)

func (c *cluster) hello(t tone) *hello {
	return &hello{
		Node: c.gateway.node, Version: c.version, Since: c.since.UnixMilli(),
		Sessions: c.gateway.sessions.number(), LeaseMS: c.lease.Milliseconds(), Asks: bool(t),
	}
}

// tell publishes to other nodes. What fails is not tried again: hellos repeat
// themselves.
func (c *cluster) tell(ctx context.Context, channel string, d dispatch) error {
	payload, err := json.Marshal(d)
	if err == nil {
		_, err = broker.Publish(ctx, c.gateway.broker, broker.Message{
			Channel: channel, Payload: payload, Kind: broker.JSON, Time: time.Now().Truncate(time.Millisecond),
		}, broker.PublishOptions{})
	}
	if err != nil {
		c.gateway.log.Debug("tell other nodes", "error", err)
		return fmt.Errorf("tell other nodes: %w", err)
	}
	return nil
}

// receive takes what arrived on a reserved channel. It does not block: what finds
// no room is lost, and its sender hears no answer.
func (c *cluster) receive(m *broker.Message) {
	select {
	case c.inbox <- m.Payload:
	default:
		c.gateway.log.Warn("other nodes say more than this one can take in")
	}
}

// reconnected says that nothing could be heard for a while. Until all have had
// time to say hello nobody is declared dead for that. It does not block.
func (c *cluster) reconnected() {
	c.directory.renew(time.Now())
	select {
	case c.missed <- struct{}{}:
	default:
	}
}

// listen reads the inbox, and declares nodes dead.
func (c *cluster) listen(ctx context.Context) {
	death := time.NewTimer(c.lease)
	defer death.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case payload := <-c.inbox:
			c.read(payload)
		case <-death.C:
			c.buryDead(time.Now())
		}
		death.Reset(c.untilNextDeath())
	}
}

func (c *cluster) untilNextDeath() time.Duration {
	next := c.directory.nextEnd()
	if next.IsZero() {
		return c.lease
	}
	return max(time.Until(next), c.lease/100) // while the link is down it stays due
}

// buryDead forgets the nodes whose lease has ended; but while this node cannot
// hear anybody, or if it has been stopped itself, silence says nothing.
func (c *cluster) buryDead(now time.Time) {
	if c.gateway.link.Load().err != nil {
		return
	}
	if end := c.directory.nextEnd(); !end.IsZero() && now.Sub(end) > c.lease/3 {
		c.reconnected()
		return
	}
	for _, node := range c.directory.expire(now) {
		c.gateway.log.Warn("a node is dead: it has not been heard of for its lease", "dead", node)
		c.lost(node)
	}
}

func (c *cluster) read(payload []byte) {
	var d dispatch
	if err := json.Unmarshal(payload, &d); err != nil {
		c.gateway.log.Warn("another node is not understood", "error", err)
		return
	}
	switch {
	case d.Roll != nil:
		c.gateway.roll.hear(d.Roll)
	case d.Hello != nil:
		c.meet(*d.Hello)
	case d.Bye != nil:
		c.part(d.Bye.Node)
	case d.Errand != nil:
		c.take(*d.Errand)
	case d.Report != nil:
		c.errands.hear(*d.Report)
	}
}

func (c *cluster) meet(h hello) {
	if h.Node == c.gateway.node || h.Node == "" || h.LeaseMS <= 0 {
		return
	}
	if c.directory.hear(h, time.Now()) {
		c.gateway.log.Info("a node is there", "new", h.Node, "version", h.Version)
	}
	if h.Asks {
		select {
		case c.asked <- h.Node:
		default: // it hears of this node within a third of a lease
		}
	}
}

func (c *cluster) part(node string) {
	if c.directory.forget(node) {
		c.gateway.log.Info("a node has left", "left", node)
		c.lost(node)
	}
}

// lost tells who must know that a node is alive no more.
func (c *cluster) lost(node string) {
	c.errands.lost(node)
	if f := c.gateway.onNodeGone; f != nil {
		f(node)
	}
}
