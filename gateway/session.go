package gateway

import (
	"slices"
	"strings"
	"time"

	"tidegate/broker/lock"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/rates"
)

// Hello says who comes, how, and with what first.
type Hello struct {
	Protocol  Protocol
	Session   string // the session's id, which nobody else has: up to 64 of A-Za-z0-9._-; empty: it is given one
	Key       string // that who sends for the session shows (SendTo); empty: nobody can
	Transport string // a label of metrics: "websocket", "sse", "longpoll"
	Principal Principal
	AuthLater bool              // the protocol lets a client authenticate by a first Auth
	AuthFirst bool              // it begins with an Auth, if only an anonymous one, which may be the first of Commands: until then nothing else is done
	Channel   string            // stands for an empty Channel of a command; implies Alone
	Channels  []string          // that it will subscribe to: refused at once if it may not
	Cursors   map[string]string // where the client is on channels that the server puts it on, as in Auth
	Alone     bool              // the session is on the channels of Commands alone, not on its user's
	Commands  []Command         // done while the session opens
	Remote    string            // the client's IP address, with or without a port
	Publishes int               // a second that it may publish at most, besides what the limits say; 0: no more
	Pinged    bool              // the client counts on a Heartbeat in each interval (Welcome.Ping), whatever else it hears
	Gate      Gate              // decides beside the rules; nil: nobody
	Room      Room              // from which the session takes a place; nil: there is room for all

	// The protocol tells of a refusal, not the transport: one that can upgrades the
	// connection for that. See Gateway.Refuse.
	TellRefusal bool
}

// Session is one client's stay. A reading goroutine, Serve's, handles the
// client's commands in order, and has another one subscribe (see gather); what is
// to be written waits in the outbox, from where the flushers write it. An idle session
// has no other goroutine, no timer and no buffer.
type Session struct {
	// Fixed at birth.
	gateway       *Gateway
	id            string
	key           string // Hello.Key
	dialect       *dialect
	transport     string
	home          string // Hello.Channel
	alone         bool   // Hello.Alone
	remote        string
	gate          Gate // Hello.Gate
	room          Room // Hello.Room
	pinged        bool // Hello.Pinged
	opened        time.Time
	mostPublishes int           // Hello.Publishes
	address       *rates.Bucket // of all clients that come from where it comes from

	conn       Conn // set by Serve, before out is attached
	flood      flood
	welcomed   bool // owned by Open, then by Receive
	out        outbox.Outbox
	publishing publishing
	publishes  *rates.Bucket // of Hello.Publishes; nil: no limit, or it has published nothing yet

	// Guarded by mu.
	mu            lock.Mutex[lock.Session]
	principal     *Principal
	pending       *time.Timer         // runs until the client has authenticated; nil: it need not
	subscriptions []*subscription     // by name of the channel
	own           *rates.Bucket       // of the session's user, or its own; nil: it has sent nothing yet
	waiting       []func()            // for the connection, to go on
	gathered      *gatheredSubscribes // on their way; nil: none
	inLine        *framesInLine       // of SendTo; nil: none
	ends          bool                // a subscription has an end of its own, or had
	left          bool                // no subscription is added any more
	registered    bool                // the backend is told when it is over

	// Guarded by gateway.sessions.mu.
	slot, index int
	user        string // that it is listed under; empty: none
	removed     bool
}

// ID returns the session's name, unique in the cluster.
func (s *Session) ID() string { return s.id }

// name returns the session's ID; nil has none.
func (s *Session) name() string {
	if s == nil {
		return ""
	}
	return s.id
}

// HasNews reports whether something waits for the client, as it may for a session
// that has no connection yet.
func (s *Session) HasNews() bool { return s.out.Bytes() > 0 }

// Rest says that nothing more of the client's is at hand. What the frames before
// have brought about is written then, rather than for each of them.
func (s *Session) Rest() { s.gateway.line.Help() }

// End says that the client sends no more, because of err, and returns why the
// session has ended: for that, or for what ended it before.
func (s *Session) End(err error) Reason {
	s.Close(ReasonOf(err))
	s.Rest()
	return ReasonOf(s.out.Why())
}

// Close ends the session; the client is told the reason if the transport can.
// It returns at once; only the first call counts.
func (s *Session) Close(reason Reason) {
	first, wakes := s.out.End(reason.ending(), time.Now())
	if !first {
		return
	}
	if wakes {
		s.gateway.line.Queue(&s.out)
	}
	s.gateway.background.Go(func() {
		s.leave(reason)
	})
}

// goOn runs f, a part of the session's work, in a goroutine of its own. If it
// panics the session ends.
func (s *Session) goOn(f func()) {
	s.gateway.background.Go(func() {
		defer s.gateway.wall.Catch("work for a session", s.crash)
		f()
	})
}

// crash ends a session whose writer, or work beside it, has panicked. Nothing is
// known of what the client has got, so nothing more is written.
func (s *Session) crash() {
	attached := s.out.Abandon()
	s.Close(Failed)
	if attached {
		s.closeConn(Failed, nil)
	}
}

// closeConn closes the connection with what the session's protocol says of the reason.
func (s *Session) closeConn(reason Reason, rest []byte) {
	s.conn.Close(s.dialect.farewell(reason), rest)
}

// leave gives up all that the session holds.
func (s *Session) leave(reason Reason) {
	s.mu.Lock()
	subscriptions := s.subscriptions
	own := s.own
	s.subscriptions, s.left, s.own = nil, true, nil
	s.stopPending()
	s.mu.Unlock()
	s.gateway.rates.Release(own)
	s.gateway.rates.Release(s.address)
	s.giveRoom()
	for _, sub := range subscriptions {
		s.gateway.wall.Do("leave a channel", func() { s.gateway.hub.Release(&sub.Subscription) })
	}
	s.unregister(reason)
	s.gateway.sessions.remove(s)
	s.gateway.noteClosed(s, reason)
}

// tell sends the client an event.
func (s *Session) tell(event Event) { s.say(event) }

// say sends the client an event. It reports false if its protocol cannot say it: then
// the session ends, shortly.
func (s *Session) say(event Event) (said bool) {
	frame, said := s.frameOf(event)
	s.push(frame)
	return said
}

// frameOf returns an event as the client is told it. If its protocol cannot say it,
// said is false and the session ends, shortly.
func (s *Session) frameOf(event Event) (frame []byte, said bool) {
	encoded, err := s.dialect.encode(event)
	if err != nil {
		s.gateway.endSoon(s, ReasonOf(err))
	}
	return encoded.Data, err == nil
}

// mention sends the client an event, unless its protocol has no way to say it but
// to end the session.
func (s *Session) mention(event Event) {
	if frame, err := s.dialect.encode(event); err == nil {
		s.push(frame.Data)
	}
}

// push queues a frame; nil is nothing.
func (s *Session) push(frame []byte) {
	if frame == nil {
		return
	}
	s.after(s.out.Push(frame, &s.gateway.outboxes))
}

func (s *Session) after(v outbox.Verdict) {
	switch v {
	case outbox.Wakes:
		s.gateway.line.Queue(&s.out)
	case outbox.Full:
		s.Close(SlowConsumer)
	}
}

// reserve makes a place for the session on a channel, unless it has one already.
func (s *Session) reserve(name string, t terms) (sub *subscription, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(name)
	switch most := s.gateway.limits.ChannelsPerSession; {
	case found:
		sub = s.subscriptions[at]
		sub.show(t.admission)
		return sub, nil
	case s.left:
		return nil, failf(Unavailable, "the session has ended")
	case most > 0 && !t.Unseen && len(s.subscriptions) >= most && s.seen() >= most:
		return nil, failf(LimitExceeded, "the session is on %d channels, as many as limits.channels_per_session allows", most)
	}
	sub = &subscription{session: s, admission: t.admission, granted: t.granted}
	var room bool
	if sub.Subscription, room = s.gateway.hub.Reserve(name, sub, s.dialect.ofChannels, t.Terms); !room {
		return nil, failf(LimitExceeded, "the node has %d subscriptions, as many as limits.subscriptions allows", s.gateway.limits.Subscriptions)
	}
	sub.show(t.admission)
	s.subscriptions = slices.Insert(s.subscriptions, at, sub)
	return sub, nil
}

// seen returns on how many channels the session is, beside those that it watches. It
// is called with s.mu held.
func (s *Session) seen() (n int) {
	for _, sub := range s.subscriptions {
		if !sub.Unseen() {
			n++
		}
	}
	return n
}

// drop gives up the session's place on a channel; nil: it has none.
func (s *Session) drop(name string) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(name)
	if !found {
		return nil
	}
	sub := s.subscriptions[at]
	s.subscriptions = slices.Delete(s.subscriptions, at, at+1)
	return sub
}

func (s *Session) place(name string) (at int, found bool) {
	return slices.BinarySearchFunc(s.subscriptions, name, func(sub *subscription, name string) int {
		return strings.Compare(sub.Channel(), name)
	})
}

func (s *Session) who() *Principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principal
}

// channels returns the names of the channels that the session is on.
func (s *Session) channels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.subscriptions))
	for i, sub := range s.subscriptions {
		names[i] = sub.Channel()
	}
	return names
}

// flood is a client that goes on beyond its rate. Its commands are refused one by
// one, up to as many a second as may pass; then it is read from only as fast as it
// may be refused; and in the end it is sent away. It is owned by Receive.
type flood struct {
	answers *rates.Bucket // refusals that may be told; nil: there was none
	since   time.Time
	last    time.Time
}

// gatheredSubscribes: while some of a session's wait for the broker, those that
// its client sends meanwhile wait to go together next. All else that the client
// sends is done when all are.
type gatheredSubscribes struct {
	done chan struct{} // closed when there are none any more

	waiting []Subscribe // guarded by the session's mu
}

// framesInLine are those of a session that wait to be received, the oldest first.
// While there are any, one goroutine receives them.
type framesInLine struct {
	frames []Frame
	bytes  int
}

// stopPending is called with s.mu held.
func (s *Session) stopPending() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}

func (s *Session) channelOf(name string) string {
	if name == "" {
		return s.home
	}
	return name
}

func (s *Session) lacksAuth(p *Principal) bool { return s.gateway.mustAuth && p.anonymous() }

// quit takes the session off a channel, and reports whether it was on it.
func (s *Session) quit(name string) bool {
	sub := s.drop(name)
	if sub == nil {
		return false
	}
	s.gateway.hub.Release(&sub.Subscription)
	return true
}

// hasGrant reports whether the server has put the session on a channel.
func (s *Session) hasGrant(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.place(channel)
	return found && s.subscriptions[at].granted
}
