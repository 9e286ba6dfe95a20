package gateway

// errand is a request of one node to all nodes. The topic says what they are to do, and which of
// the fields say more.
type errand struct {
	Whose
	Grant

	Match   string `json:"match,omitempty"`
	Mark    string `json:"mark,omitempty"`
	Most    int    `json:"most,omitempty"`
	Payload []byte `json:"payload,omitempty"` // a checksum of the payload
}

// Topics of errands.
const (
	findSession     = "find_session"
	findSessions    = "find_sessions"
	disconnectUser  = "disconnect"
	subscribeUser   = "subscribe"
	unsubscribeUser = "unsubscribe"
	expireSessions  = "expire"
	countChannels   = "count_channels"
	describeNode    = "describe_node"
	measureLoad     = "measure_load"
	forgetHistory   = "forget_history"
	refreshDenials  = "refresh_denials"
	beginTrace      = "begin_trace"
	readTrace       = "read_trace"
	endTrace        = "end_trace"
)

// Topics of messages to a single node.
const (
	sessionFrame  = "session_frame"
	noticesInLine = "notices_in_line"
)

// sayer sends one part of the result of an errand.
type sayer = func(any) error
