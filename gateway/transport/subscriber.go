package transport

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"tidegate/gateway"
)

// subscriber is what Server-Sent Events and long-poll have in common: a request
// that asks for channels, from a peer that says nothing more.
type subscriber struct {
	gateway   *gateway.Gateway
	native    gateway.Protocol
	transport string
}

// maxChannels bounds a request where limits do not.
const maxChannels = 1000

// placesOf returns the channels that a request asks for, and where it goes on on
// each. A cursor that is not empty stands for those of the URL.
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

// RecentOf returns how many of the last messages a request asks for: ?recent=20.
func RecentOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("recent")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, badRequest(fmt.Sprintf("recent is %.32q: want how many of the last messages, from 0 on", text))
	}
	return int(n), nil
}

// open opens a session that is on the channels. Those whose history is to be read are
// subscribed when it has its connection, since that may be more than can wait before;
// they are authorized here.
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

// cursorsOf returns where a request for the channels goes on: at the given cursor,
// or at the one of its URL, or at those of its URL, one for each channel.
func cursorsOf(query url.Values, channels []string, cursor string) (cursors, error) {
	if texts := query["cursor"]; cursor == "" && len(texts) > 1 {
		return parseEach(query["channel"], texts)
	}
	return parseCursors(channels, cmp.Or(cursor, query.Get("cursor")))
}

// channelsOf returns the channels that a request names, each once.
func (s subscriber) channelsOf(r *http.Request) ([]string, error) {
	channels := slices.Clone(r.URL.Query()["channel"])
	slices.Sort(channels)
	channels = slices.Compact(channels)
	most := maxChannels
	limits := s.gateway.Limits()
	for _, limit := range []int{limits.ChannelsPerSession, limits.CommandsPerSecond} { // each is a subscribe
		if limit > 0 {
			most = min(most, limit)
		}
	}
	switch {
	case len(channels) == 0:
		return nil, badRequest("the channel is missing: give ?channel=NAME, once for each")
	case len(channels) > most:
		return nil, &gateway.Error{
			Code:    gateway.LimitExceeded,
			Message: fmt.Sprintf("%d channels are asked for: at most %d are allowed", len(channels), most),
		}
	}
	return channels, nil
}
