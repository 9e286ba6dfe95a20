package centrifuge

import "tidegate/gateway"

// ticket is the value of a gateway.ID. It holds what the reply to a command needs to know:
//
//	bits      meaning
//	0 to 31   the client's id, greater than 0
//	32 to 39  the request
//	40        set for a subscribe that asks to recover
//	41        set for a subscribe that asks for deltas
type ticket int64

type request uint8

const (
	ofConnect request = iota
	ofRefresh
	ofSubscribe
	ofUnsubscribe
	ofPublish
	ofPresence
	ofPresenceStats
	ofHistory
	ofHistoryReverse
	ofHistoryPosition
	ofPing
	ofRPC
	ofSubRefresh
	ofServer // a request of a backend
)

const (
	recovers   ticket = 1 << 40
	withDeltas ticket = 1 << 41
)

func (r request) of(id uint32) ticket { return ticket(r)<<32 | ticket(id) }

func (t ticket) id() gateway.ID { return gateway.ID{Value: int64(t), Given: true} }

func (t ticket) number() uint32 { return uint32(t) }

func (t ticket) request() request { return request(t >> 32) }

// ticketOf converts the ID of an event.
func ticketOf(id gateway.ID) ticket { return ticket(id.Value) }
