package transport

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"tidegate/gateway"
)

// subscriber holds what Server-Sent Events and long-poll share: a request names channels,
// and the client sends nothing more.
type subscriber struct {
	gateway   *gateway.Gateway
	native    gateway.Protocol
	transport string
}

// maxChannels bounds the channels of a request if the limits do not.
const maxChannels = 1000

// placesOf returns the channels that a request names and the position to resume from on
// each. A cursor that is not empty takes precedence over those in the URL.
func (s subscriber) placesOf(r *http.Request, cursor string) (cursors, error) {
	channels, err := s.channelsOf(r)
	if err != nil {
		return cursors{}, err
	}
	recent, err := RecentOf(r)
	if err != nil {
		return cursors{}, err
	}
	at, err := cursorsOf(r.URL.Query(), channels, cursor)
	at.recent = recent
	return at, err
}

// RecentOf returns how many recent messages a request asks for: ?recent=20.
func RecentOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("recent")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, fail(gateway.BadRequest, "recent is %.32q: want how many of the last messages, from 0 on", text)
	}
	return int(n), nil
}

// open opens a session and authorizes all channels. It subscribes only to those that need
// nothing from their history. The caller subscribes to the others once the session has its
// connection, because there may be more messages than can be buffered before.
func (s subscriber) open(r *http.Request, at cursors, form form) (*gateway.Session, error) {
	principal, err := Authenticate(s.gateway, r)
	if err != nil {
		return nil, err
	}
	hello := gateway.Hello{
		Protocol:  notices{s.native, form},
		Transport: s.transport,
		Principal: principal,
		Alone:     true,
		Remote:    r.RemoteAddr,
	}
	for i := range at.places {
		p := &at.places[i]
		hello.Channels = append(hello.Channels, p.channel)
		if !at.readsBack(p) {
			hello.Commands = append(hello.Commands, gateway.Subscribe{Channel: p.channel})
		}
	}
	return s.gateway.Open(r.Context(), hello)
}

// cursorsOf returns the positions from the given cursor or, if that is empty, from the URL:
// one cursor over all channels, or one for each.
func cursorsOf(query url.Values, channels []string, cursor string) (cursors, error) {
	if texts := query["cursor"]; cursor == "" && len(texts) > 1 {
		return parseEach(query["channel"], texts)
	}
	return parseCursors(channels, cmp.Or(cursor, query.Get("cursor")))
}

// channelsOf returns the channels that a request names, sorted and without duplicates.
func (s subscriber) channelsOf(r *http.Request) ([]string, error) {
	channels := slices.Clone(r.URL.Query()["channel"])
	slices.Sort(channels)
	channels = slices.Compact(channels)
	most := maxChannels
	limits := s.gateway.Limits()
	for _, limit := range []int{limits.ChannelsPerSession, limits.CommandsPerSecond} { // each channel takes one subscribe
		if limit > 0 {
			most = min(most, limit)
		}
	}
	switch {
	case len(channels) == 0:
		return nil, fail(gateway.BadRequest, "the channel is missing: give ?channel=NAME, once for each")
	case len(channels) > most:
		// The status says that, unlike with other limits, asking again later does not help.
		return nil, WithStatus(http.StatusRequestURITooLong, fail(gateway.LimitExceeded, "%d channels are asked for: at most %d are allowed", len(channels), most))
	}
	return channels, nil
}
