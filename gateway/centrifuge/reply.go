package centrifuge

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/fossil"
	"tidegate/gateway/centrifuge/internal/wire"
)

// isPush reports whether a one-way client gets a reply: a push, a ping, or the connect result.
func isPush(r *wire.Reply) bool {
	return r.Push != nil || r.Connect != nil || r.Id == 0 && proto.Size(r) == 0
}

func replyTo(event gateway.Event, f Format) (*wire.Reply, error) {
	switch e := event.(type) {
	case gateway.Message:
		return push(&wire.Push{Channel: e.Channel, Pub: publicationOf(e.Message, f)}), nil
	case gateway.Delta:
		return push(&wire.Push{Channel: e.Channel, Pub: deltaOf(e, f)}), nil
	case gateway.Published:
		return answer(e.ID, &wire.Reply{Publish: &wire.Empty{}}), nil
	case gateway.Welcome:
		return welcome(e), nil
	case gateway.Subscribed:
		return subscribed(e), nil
	case gateway.Unsubscribed:
		return unsubscribed(e), nil
	case gateway.Renewed:
		return answer(e.ID, &wire.Reply{SubRefresh: &wire.SubRefreshResult{Expires: !e.Expires.IsZero(), Ttl: untilRenewal(e.Expires)}}), nil
	case gateway.Members:
		return members(e), nil
	case gateway.Messages:
		return messages(e, f), nil
	case gateway.Join:
		return push(&wire.Push{Channel: e.Channel, Join: &wire.Member{Info: infoOf(e.User, e.Session, e.Info, e.Elsewhere)}}), nil
	case gateway.Leave:
		return push(&wire.Push{Channel: e.Channel, Leave: &wire.Member{Info: infoOf(e.User, e.Session, e.Info, e.Elsewhere)}}), nil
	case gateway.Gap:
		return push(&wire.Push{Channel: e.Channel, Unsubscribe: insufficient()}), nil
	case gateway.Failure:
		return failure(e), nil
	case gateway.Answer:
		return answer(e.ID, &wire.Reply{Rpc: &wire.RPCResult{Data: payloadOf(e.Payload, e.Kind, f)}}), nil
	case gateway.Pong:
		return answer(e.ID, &wire.Reply{Ping: &wire.Empty{}}), nil
	case gateway.Heartbeat:
		return &wire.Reply{}, nil
	case gateway.Reconnect:
		return push(&wire.Push{Disconnect: &wire.Disconnect{Code: shutdown, Reason: gateway.Draining.Text}}), nil
	}
	return nil, nil
}

// insufficient is the reason for a client that may have missed messages and must subscribe again.
func insufficient() *wire.Unsubscribe {
	return &wire.Unsubscribe{Code: unsubscribedForNow, Reason: "insufficient state"}
}

func push(p *wire.Push) *wire.Reply { return &wire.Reply{Push: p} }

func answer(id gateway.ID, r *wire.Reply) *wire.Reply {
	r.Id = ticketOf(id).number()
	return r
}

// welcome is the reply to a connect or a refresh. Before a session has connected, its
// Welcome is not sent.
func welcome(e gateway.Welcome) *wire.Reply {
	if !e.ID.Given {
		return nil
	}
	expires, ttl := !e.Expires.IsZero(), untilRenewal(e.Expires)
	if ticketOf(e.ID).request() == ofRefresh {
		return answer(e.ID, &wire.Reply{Refresh: &wire.RefreshResult{Client: e.Session, Expires: expires, Ttl: ttl}})
	}
	return answer(e.ID, &wire.Reply{Connect: &wire.ConnectResult{
		Client: e.Session, Node: e.Node, Ping: seconds(e.Ping), Pong: e.Ping > 0, Expires: expires, Ttl: ttl,
		Session: sessionOf(e.Session, e.Key), Subs: served(e.Channels), Data: e.Data,
	}})
}

// sessionOf returns the session that a client sends in emulation requests. It
// contains the secret key.
func sessionOf(id, key string) string {
	if key == "" {
		return ""
	}
	return id + "." + key
}

// cutSession splits the result of sessionOf. A key contains no dot.
func cutSession(session string) (id, key string) {
	at := strings.LastIndexByte(session, '.')
	if at < 0 {
		return session, ""
	}
	return session[:at], session[at+1:]
}

// untilRenewal returns the number of seconds until a client is to renew its token, some
// time before it expires.
func untilRenewal(end time.Time) uint32 {
	if end.IsZero() {
		return 0
	}
	left := time.Until(end)
	return max(1, seconds(left-min(left/4, renewalMargin)))
}

const renewalMargin = 20 * time.Second

// seconds returns d in whole seconds: at least 1 if d is positive, else 0, and at most what the
// protocol can tell.
func seconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min(max(1, d/time.Second), math.MaxUint32))
}

// served returns the server-side subscriptions for the connect reply.
func served(channels []gateway.Subscribed) map[string]*wire.SubscribeResult {
	subs := make(map[string]*wire.SubscribeResult, len(channels))
	for _, e := range channels {
		kept := !e.After.IsZero()
		subs[e.Channel] = &wire.SubscribeResult{
			Recoverable: kept, Positioned: kept, Epoch: e.After.Epoch, Offset: e.After.Offset,
			WasRecovering: e.Resumed, Recovered: e.Resumed && e.Recovered,
		}
	}
	return subs
}

// subscribed returns the reply, or push, for a subscription. Its position is the one that
// all later messages follow: the client's own if it can recover. It returns nil if the
// connect reply has already announced the subscription.
func subscribed(e gateway.Subscribed) *wire.Reply {
	kept := !e.After.IsZero()
	switch {
	case e.Welcomed:
		return nil
	case !e.Asked:
		return push(&wire.Push{Channel: e.Channel, Subscribe: &wire.Subscribe{
			Recoverable: kept, Positioned: kept, Epoch: e.After.Epoch, Offset: e.After.Offset, Data: e.Data,
			WasRecovering: e.Resumed, Recovered: e.Resumed && e.Recovered,
		}})
	}
	asked := ticketOf(e.ID)&recovers != 0
	return answer(e.ID, &wire.Reply{Subscribe: &wire.SubscribeResult{
		Expires: !e.Expires.IsZero(), Ttl: untilRenewal(e.Expires),
		Recoverable: kept, Positioned: kept, Epoch: e.After.Epoch, Offset: e.After.Offset,
		WasRecovering: asked, Recovered: asked && isRecovered(e), Delta: ticketOf(e.ID)&withDeltas != 0,
		Data: e.Data,
	}})
}

// isLoss reports whether a client has lost messages of a server-side subscription.
func isLoss(e gateway.Subscribed) bool { return !e.Asked && !e.Welcomed && e.Resumed && !e.Recovered }

// isRecovered reports whether a client that asked to recover gets all that it has missed
// or, if it had no position, at least one message.
func isRecovered(e gateway.Subscribed) bool {
	if e.Resumed {
		return e.Recovered
	}
	return e.Position.Offset > e.After.Offset
}

func unsubscribed(e gateway.Unsubscribed) *wire.Reply {
	if e.Code == "" {
		return answer(e.ID, &wire.Reply{Unsubscribe: &wire.Empty{}})
	}
	return push(&wire.Push{Channel: e.Channel, Unsubscribe: &wire.Unsubscribe{Code: unsubscribeCode(e), Reason: utf8Of(e.Reason)}})
}

// failure is the reply to a failed command. Unsubscribing twice is not an error in this protocol.
// A refresh with an expired token is not answered: its session ends, and SDKs come back with a new
// one, while they take the error for final.
func failure(e gateway.Failure) *wire.Reply {
	t := ticketOf(e.ID)
	switch {
	case !e.ID.Given, t.request() == ofRefresh && e.Reason.Is(gateway.TokenExpired):
		return nil
	case t.request() == ofUnsubscribe && e.Code == gateway.NotFound:
		return answer(e.ID, &wire.Reply{Unsubscribe: &wire.Empty{}})
	}
	return answer(e.ID, &wire.Reply{Error: errorOfFailure(t.request(), e)})
}

// members is the reply with the members of a channel, by session if the channel's rule says
// so, else by user.
func members(e gateway.Members) *wire.Reply {
	if ticketOf(e.ID).request() == ofPresenceStats {
		return answer(e.ID, &wire.Reply{PresenceStats: statsOf(e.Members)})
	}
	return answer(e.ID, &wire.Reply{Presence: presenceOf(e.Members)})
}

func presenceOf(members []gateway.Member) *wire.PresenceResult {
	presence := make(map[string]*wire.ClientInfo, len(members))
	for _, m := range members {
		if m.Sessions == 0 {
			continue // the member lingers
		}
		presence[cmp.Or(m.Session, m.User)] = infoOf(m.User, m.Session, m.Info, m.Elsewhere)
	}
	return &wire.PresenceResult{Presence: presence}
}

func statsOf(members []gateway.Member) *wire.PresenceStatsResult {
	users, clients := make(map[string]bool), 0
	for _, m := range members {
		if clients += m.Sessions; m.Sessions > 0 {
			users[m.User] = true
		}
	}
	return &wire.PresenceStatsResult{NumClients: uint32(clients), NumUsers: uint32(len(users))}
}

func messages(e gateway.Messages, f Format) *wire.Reply {
	t := ticketOf(e.ID)
	if e.Unknown {
		return answer(e.ID, &wire.Reply{Error: &wire.Error{Code: errUnrecoverable, Message: "unrecoverable position"}})
	}
	result := &wire.HistoryResult{Epoch: e.Top.Epoch, Offset: e.Top.Offset}
	if t.request() != ofHistoryPosition {
		for i := range e.Messages {
			result.Publications = append(result.Publications, publicationOf(&e.Messages[i], f))
		}
	}
	if t.request() == ofHistoryReverse {
		slices.Reverse(result.Publications)
	}
	return answer(e.ID, &wire.Reply{History: result})
}

// infoOf returns the info of a client's connection and, if it has one of its own, of its
// subscription to the channel.
func infoOf(user, session string, info, elsewhere json.RawMessage) *wire.ClientInfo {
	of := &wire.ClientInfo{User: utf8Of(user), Client: session, ConnInfo: onOneLine(info)}
	if elsewhere != nil {
		of.ConnInfo, of.ChanInfo = onOneLine(elsewhere), onOneLine(info)
	}
	if string(of.ConnInfo) == "null" {
		of.ConnInfo = nil
	}
	return of
}

// eventTag is the tag in which clients see the event name of a message.
const eventTag = "event"

func publicationOf(m *broker.Message, f Format) *wire.Publication {
	p := &wire.Publication{Data: payloadOf(m.Payload, m.Kind, f), Epoch: m.Position.Epoch, Offset: m.Position.Offset}
	if m.Session != "" || m.User != "" {
		p.Info = infoOf(m.User, m.Session, m.Info, m.Elsewhere)
	}
	if !m.Time.IsZero() {
		p.Time = m.Time.UnixMilli()
	}
	p.Tags = tagsOf(m)
	return p
}

// deltaOf returns a publication for clients that use deltas: with the delta to the previous data,
// or in full. In JSON, both are strings, so that the client applies the delta to the same bytes.
func deltaOf(e gateway.Delta, f Format) *wire.Publication {
	p := publicationOf(e.Message, f)
	if e.Before != nil {
		if delta := fossil.Delta(payloadOf(e.Before.Payload, e.Before.Kind, f), p.Data); delta != nil {
			p.Data, p.Delta = delta, true
		}
	}
	if f == JSON {
		p.Data = jsontext.AppendString(nil, []byte(p.Data))
	}
	return p
}

// tagsOf returns the tags of a message, including the event name.
func tagsOf(m *broker.Message) (tags map[string]string) {
	if m.Tags != nil {
		_ = json.Unmarshal(m.Tags, &tags) // cannot fail: the broker has checked that they are strings
	}
	if m.Event != "" {
		if tags == nil {
			tags = make(map[string]string, 1)
		}
		tags[eventTag] = utf8Of(m.Event)
	}
	return tags
}

// payloadOf returns a payload for Protobuf, or as a JSON value on one line for JSON.
func payloadOf(payload []byte, kind broker.Kind, f Format) []byte {
	switch {
	case f == Protobuf:
		return payload
	case kind == broker.JSON:
		return onOneLine(payload)
	case kind == broker.Text:
		return jsontext.AppendString(nil, payload)
	}
	return jsontext.AppendString(nil, base64.StdEncoding.AppendEncode(nil, payload))
}

// onOneLine replaces line breaks by spaces. In valid JSON they occur only as white space.
func onOneLine(data []byte) []byte {
	if !bytes.ContainsAny(data, "\r\n") {
		return data
	}
	return bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, data)
}
