package pusher

import (
	"encoding/json"

	"tidegate/broker/jsontext"
)

// object is a JSON object under construction.
type object []byte

func begin(event string) object {
	return append(append(object(`{"event":"`), event...), '"')
}

func (o object) name(name string) object {
	return append(append(append(o, `,"`...), name...), `":`...)
}

func (o object) text(name string, value []byte) object {
	return jsontext.AppendString(o.name(name), value)
}

func (o object) json(name string, value any) object {
	encoded, _ := json.Marshal(value) // of types that can be encoded
	return append(o.name(name), encoded...)
}

func (o object) end() []byte { return append(o, '}') }
