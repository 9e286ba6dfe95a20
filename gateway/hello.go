package gateway

// Hello describes a client that opens a session: who it is, how it speaks, and its first
// commands.
type Hello struct {
	Protocol  Protocol
	Session   string // the session's ID, unique in the cluster: up to 64 of A-Za-z0-9._-; empty: the gateway chooses one
	Key       string // a secret that requests sending for the session must present (SendTo); empty: none can
	Transport string // a label of metrics: "websocket", "sse", "longpoll"
	Principal Principal
	AuthLater bool              // the protocol lets a client authenticate by a first Auth
	AuthFirst bool              // the session begins with an Auth, possibly anonymous and possibly the first of Commands; until then nothing else is done
	Channel   string            // stands for an empty Channel in commands; implies Alone
	Channels  []string          // the channels it will subscribe to; the session is refused at once if it may not
	Cursors   map[string]string // the client's cursors on channels that the server subscribes it to, as in Auth
	Alone     bool              // the session is on the channels of Commands only, not on those of its user
	Commands  []Command         // handled while the session opens
	Remote    string            // the client's IP address, with or without a port
	Publishes int               // most publishes per second, in addition to the Limits; 0: no extra limit
	Pinged    bool              // the client relies on a Heartbeat in each interval (Welcome.Ping), whatever else it receives
	Gate      Gate              // decides in addition to the rules; nil: none
	Room      Room              // the session takes a place in it; nil: unlimited
	Patient   bool              // a subscribe or an unsubscribe that comes too fast waits: the client would not repeat it

	// TellRefusal makes the protocol, not the transport, report a refusal: a transport that
	// can do so upgrades the connection for that. See Gateway.Refuse.
	TellRefusal bool
}

// Room limits the number of sessions of a kind, such as those of one application, in
// addition to the gateway's own limits. Both methods must be safe for concurrent use.
type Room interface {
	Take() error // called before a session opens; an error refuses the session
	Give()       // called when the session is over, to return what Take took
}
