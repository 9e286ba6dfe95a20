package gateway

// Hello says who comes, how, and with what first.
type Hello struct {
	Protocol  Protocol
	Session   string // the session's id, which nobody else has: up to 64 of A-Za-z0-9._-; empty: it is given one
	Key       string // that requests which send for the session must show (SendTo); empty: none can
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

// Room bounds how many sessions there are of a kind, such as those of one application,
// beside the gateway's own limits. Both methods may be called concurrently.
type Room interface {
	Take() error // before a session opens, which is refused with the error
	Give()       // what Take took: when the session is over
}
