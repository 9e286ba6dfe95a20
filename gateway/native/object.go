package native

import (
	"strconv"
	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"time"
)

// object is a JSON object being written.
type object []byte

// framing is spare capacity for the header that a transport puts before a frame.
const framing = 10

// begin allocates enough for all but long names.
func begin(kind string) object {
	return object(make([]byte, 0, 192)).open(kind)
}

func (o object) open(kind string) object {
	o = append(o, `{"type":"`...)
	o = append(o, kind...)
	return append(o, '"')
}

func (o object) end() []byte { return append(o, '}') }

// name appends the name of a field, which must need no escapes.
func (o object) name(name string) object {
	o = append(o, `,"`...)
	o = append(o, name...)
	return append(o, `":`...)
}

func (o object) str(name, value string) object {
	return jsontext.AppendString(o.name(name), value)
}

func (o object) optional(name, value string) object {
	if value == "" {
		return o
	}
	return o.str(name, value)
}

// json appends a field whose value is JSON text, unless value is nil.
func (o object) json(name string, value []byte) object {
	if value == nil {
		return o
	}
	return append(o.name(name), value...)
}

func (o object) number(name string, value int64) object {
	return strconv.AppendInt(o.name(name), value, 10)
}

func (o object) id(id gateway.ID) object {
	if !id.Given {
		return o
	}
	return o.number("id", id.Value)
}

func (o object) position(p broker.Position) object {
	if p.IsZero() {
		return o
	}
	o = append(o, `,"cursor":"`...)
	o = append(o, p.Epoch...)
	o = append(o, ':')
	o = strconv.AppendUint(o, p.Offset, 10)
	return append(o, '"')
}

func (o object) recovered(e gateway.Subscribed) object {
	if !e.Resumed {
		return o
	}
	return strconv.AppendBool(o.name("recovered"), e.Recovered)
}

func (o object) ping(every time.Duration) object {
	if every == 0 {
		return o
	}
	return strconv.AppendFloat(o.name("ping"), every.Seconds(), 'f', -1, 64)
}

func (o object) within(d time.Duration) object {
	return strconv.AppendFloat(o.name("within"), d.Seconds(), 'f', 1, 64)
}
