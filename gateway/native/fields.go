package native

import "tidegate/broker/jsontext"

// fields holds the raw JSON values of a frame's fields, nil for those that are missing. A
// null counts as missing, except for data, which may be any value. If a name occurs more
// than once, the last one counts.
type fields struct {
	kind, id, token, channel, cursor, recent, echo, limit, transient []byte
	data, text, binary, event, tags, key, traceparent                []byte
}

// parse is jsontext.Fields for a frame.
func (f *fields) parse(frame []byte) bool { return jsontext.Fields(frame, f.put) }

func (f *fields) put(name, value []byte) {
	field := f.named(name)
	switch {
	case field == nil:
	case field != &f.data && string(value) == "null":
		*field = nil
	default:
		*field = value
	}
}

func (f *fields) named(name []byte) *[]byte {
	switch string(name) {
	case "type":
		return &f.kind
	case "id":
		return &f.id
	case "token":
		return &f.token
	case "channel":
		return &f.channel
	case "cursor":
		return &f.cursor
	case "recent":
		return &f.recent
	case "echo":
		return &f.echo
	case "limit":
		return &f.limit
	case "data":
		return &f.data
	case "text":
		return &f.text
	case "binary":
		return &f.binary
	case "event":
		return &f.event
	case "tags":
		return &f.tags
	case "transient":
		return &f.transient
	case "key":
		return &f.key
	case "traceparent":
		return &f.traceparent
	}
	return nil
}
