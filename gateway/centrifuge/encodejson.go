package centrifuge

import (
	"maps"
	"slices"
	"strconv"

	"tidegate/broker/jsontext"
	"tidegate/gateway/centrifuge/internal/wire"
)

// appendJSON appends a reply as a JSON object on one line. If it is bare, which is the form for
// one-way clients, only what isPush is left of it, without the envelope. Zero values are omitted.
func appendJSON(b []byte, r *wire.Reply, bare bool) ([]byte, error) {
	var value any = r
	switch p := r.Push; {
	case p.GetPub() != nil:
		return appendPublication(b, p.Channel, p.Pub, bare), nil
	case r.Publish != nil: // also in a fraction of the time
		return append(strconv.AppendUint(append(b, `{"id":`...), uint64(r.Id), 10), `,"publish":{}}`...), nil
	case bare && p != nil:
		value = p
	case bare:
		value = &wire.Reply{Connect: r.Connect}
	}
	encoded, err := jsontext.Encode(value)
	return append(b, encoded...), err
}

// appendPublication does for a publication in a push what appendJSON does, in a fraction of the time.
func appendPublication(b []byte, channel string, p *wire.Publication, bare bool) []byte {
	const names = 256
	o := append(object(slices.Grow(b, names+len(channel)+len(p.Data))), '{')
	if !bare {
		o = o.open("push")
	}
	o = o.str("channel", channel).open("pub").raw("data", p.Data)
	if i := p.Info; i != nil {
		o = o.open("info").text("user", i.User).text("client", i.Client).raw("conn_info", i.ConnInfo).raw("chan_info", i.ChanInfo).end()
	}
	o = o.number("offset", p.Offset).str("epoch", p.Epoch)
	if len(p.Tags) > 0 {
		o = o.open("tags")
		for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
			o = append(jsontext.AppendString(o.comma(), key), ':')
			o = jsontext.AppendString(o, p.Tags[key])
		}
		o = o.end()
	}
	if p.Delta {
		o = append(o.name("delta"), "true"...)
	}
	o = o.number("time", uint64(p.Time)).end().end()
	if !bare {
		o = o.end()
	}
	return o
}

// object is a JSON object being written.
type object []byte

func (o object) end() object { return append(o, '}') }

// comma appends a comma unless the object is still empty.
func (o object) comma() object {
	if o[len(o)-1] == '{' {
		return o
	}
	return append(o, ',')
}

// name appends the name of a field, which must need no escapes.
func (o object) name(name string) object {
	o = append(o.comma(), '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

func (o object) open(name string) object { return append(o.name(name), '{') }

func (o object) str(name, value string) object {
	if value == "" {
		return o
	}
	return o.text(name, value)
}

// text is like str but does not omit an empty value.
func (o object) text(name, value string) object { return jsontext.AppendString(o.name(name), value) }

func (o object) number(name string, value uint64) object {
	if value == 0 {
		return o
	}
	return strconv.AppendUint(o.name(name), value, 10)
}

// raw appends a value that is JSON on one line already.
func (o object) raw(name string, value []byte) object {
	if value == nil {
		return o
	}
	return append(o.name(name), value...)
}
