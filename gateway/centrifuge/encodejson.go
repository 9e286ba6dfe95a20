package centrifuge

import (
	"maps"
	"slices"
	"strconv"

	"tidegate/broker/jsontext"
	"tidegate/gateway/centrifuge/internal/wire"
)

// appendReply appends a reply as a JSON object on one line. It omits zero values.
func appendReply(b []byte, r *wire.Reply) []byte {
	o := begin(b).number("id", uint64(r.Id))
	switch {
	case r.Push != nil:
		o = o.open("push").push(r.Push).end()
	case r.Error != nil:
		o = o.open("error").number("code", uint64(r.Error.Code)).str("message", r.Error.Message).
			truth("temporary", r.Error.Temporary).end()
	case r.Connect != nil:
		o = o.open("connect").connect(r.Connect).end()
	case r.Subscribe != nil:
		o = o.open("subscribe").subscription(r.Subscribe).end()
	case r.Unsubscribe != nil:
		o = o.open("unsubscribe").end()
	case r.Publish != nil:
		o = o.open("publish").end()
	case r.Presence != nil:
		o = o.open("presence").members(r.Presence).end()
	case r.PresenceStats != nil:
		o = o.open("presence_stats").always("num_clients", uint64(r.PresenceStats.NumClients)).
			always("num_users", uint64(r.PresenceStats.NumUsers)).end()
	case r.History != nil:
		o = o.open("history").publications(r.History.Publications).str("epoch", r.History.Epoch).
			always("offset", r.History.Offset).end()
	case r.Ping != nil:
		o = o.open("ping").end()
	case r.Rpc != nil:
		o = o.open("rpc").raw("data", r.Rpc.Data).end()
	case r.Refresh != nil:
		o = o.open("refresh").str("client", r.Refresh.Client).
			expiry(r.Refresh.Expires, r.Refresh.Ttl).end()
	case r.SubRefresh != nil:
		o = o.open("sub_refresh").expiry(r.SubRefresh.Expires, r.SubRefresh.Ttl).end()
	}
	return o.end()
}

// appendPush appends a reply that isPush in the form for one-way clients, without the envelope.
func appendPush(b []byte, r *wire.Reply) []byte {
	o := begin(b)
	switch {
	case r.Push != nil:
		o = o.push(r.Push)
	case r.Connect != nil:
		o = o.open("connect").connect(r.Connect).end()
	}
	return o.end()
}

// sizeOf estimates the encoded size of a reply in bytes.
func sizeOf(r *wire.Reply) int {
	const names = 256
	switch {
	case r.Push.GetPub() != nil:
		return names + len(r.Push.Channel) + len(r.Push.Pub.Data)
	case r.History != nil:
		size := names
		for _, p := range r.History.Publications {
			size += names + len(p.Data)
		}
		return size
	}
	return names
}

// object is a JSON object being written.
type object []byte

func begin(b []byte) object { return append(b, '{') }

func (o object) end() object { return append(o, '}') }

// name appends the name of a field, which must need no escapes, after a comma if necessary.
func (o object) name(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	o = append(o, '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

func (o object) open(name string) object { return begin(o.name(name)) }

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
	return o.always(name, value)
}

func (o object) always(name string, value uint64) object {
	return strconv.AppendUint(o.name(name), value, 10)
}

func (o object) truth(name string, value bool) object {
	if !value {
		return o
	}
	return append(o.name(name), "true"...)
}

// raw appends a value that is JSON on one line already.
func (o object) raw(name string, value []byte) object {
	if value == nil {
		return o
	}
	return append(o.name(name), value...)
}

func (o object) expiry(expires bool, ttl uint32) object {
	return o.truth("expires", expires).number("ttl", uint64(ttl))
}

func (o object) push(p *wire.Push) object {
	o = o.str("channel", p.Channel)
	switch {
	case p.Pub != nil:
		o = o.open("pub").publication(p.Pub).end()
	case p.Join != nil:
		o = o.open("join").info("info", p.Join.Info).end()
	case p.Leave != nil:
		o = o.open("leave").info("info", p.Leave.Info).end()
	case p.Subscribe != nil:
		o = o.open("subscribe").truth("recoverable", p.Subscribe.Recoverable).truth("positioned", p.Subscribe.Positioned).
			str("epoch", p.Subscribe.Epoch).number("offset", p.Subscribe.Offset).raw("data", p.Subscribe.Data).
			truth("recovered", p.Subscribe.Recovered).truth("was_recovering", p.Subscribe.WasRecovering).end()
	case p.Unsubscribe != nil:
		o = o.open("unsubscribe").number("code", uint64(p.Unsubscribe.Code)).str("reason", p.Unsubscribe.Reason).end()
	case p.Disconnect != nil:
		o = o.open("disconnect").number("code", uint64(p.Disconnect.Code)).str("reason", p.Disconnect.Reason).end()
	}
	return o
}

func (o object) publication(p *wire.Publication) object {
	return o.raw("data", p.Data).info("info", p.Info).number("offset", p.Offset).str("epoch", p.Epoch).
		texts("tags", p.Tags).truth("delta", p.Delta).number("time", uint64(p.Time))
}

func (o object) publications(list []*wire.Publication) object {
	if len(list) == 0 {
		return o
	}
	o = append(o.name("publications"), '[')
	for i, p := range list {
		if i > 0 {
			o = append(o, ',')
		}
		o = begin(o).publication(p).end()
	}
	return append(o, ']')
}

func (o object) info(name string, i *wire.ClientInfo) object {
	if i == nil {
		return o
	}
	return o.open(name).member(i).end()
}

func (o object) member(i *wire.ClientInfo) object {
	return o.text("user", i.User).text("client", i.Client).raw("conn_info", i.ConnInfo).raw("chan_info", i.ChanInfo)
}

func (o object) texts(name string, values map[string]string) object {
	if len(values) == 0 {
		return o
	}
	o = o.open(name)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		o = o.key(key)
		o = jsontext.AppendString(o, values[key])
	}
	return o.end()
}

// key is like name but escapes the name.
func (o object) key(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	return append(jsontext.AppendString(o, name), ':')
}

func (o object) connect(c *wire.ConnectResult) object {
	o = o.str("client", c.Client).expiry(c.Expires, c.Ttl).raw("data", c.Data)
	if len(c.Subs) > 0 {
		o = o.open("subs")
		for _, channel := range slices.Sorted(maps.Keys(c.Subs)) {
			o = begin(o.key(channel)).subscription(c.Subs[channel]).end()
		}
		o = o.end()
	}
	return o.number("ping", uint64(c.Ping)).truth("pong", c.Pong).str("session", c.Session).str("node", c.Node)
}

func (o object) subscription(s *wire.SubscribeResult) object {
	return o.expiry(s.Expires, s.Ttl).truth("recoverable", s.Recoverable).str("epoch", s.Epoch).
		truth("recovered", s.Recovered).number("offset", s.Offset).
		truth("positioned", s.Positioned).raw("data", s.Data).truth("was_recovering", s.WasRecovering).truth("delta", s.Delta)
}

func (o object) members(p *wire.PresenceResult) object {
	o = o.open("presence")
	for _, key := range slices.Sorted(maps.Keys(p.Presence)) {
		o = begin(o.key(key)).member(p.Presence[key]).end()
	}
	return o.end()
}
