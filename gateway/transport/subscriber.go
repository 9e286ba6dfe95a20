package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"

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

// open opens a session that is on the channels of the request. Those to resume
// are subscribed when it is served, since what was missed may be more than can
// wait before; they are authorized here. A cursor that is not empty stands for
// those of the URL.
func (s subscriber) open(r *http.Request, cursor string, formOf func(channels int) form) (*gateway.Session, cursors, error) {
	var none cursors
	principal, err := s.gateway.Authenticate(r.Context(), tokenOf(r))
	if err != nil {
		return nil, none, err
	}
	channels, err := s.channelsOf(r)
	if err != nil {
		return nil, none, err
	}
	at, err := cursorsOf(r.URL.Query(), channels, cursor)
	if err != nil {
		return nil, none, err
	}
	hello := gateway.Hello{
		Protocol:  notices{s.native, formOf(len(channels))},
		Transport: s.transport,
		Principal: principal,
		Alone:     true,
		Remote:    r.RemoteAddr,
	}
	for i := range at.places {
		p := &at.places[i]
		hello.Channels = append(hello.Channels, p.channel)
		if !p.hasPosition() {
			hello.Commands = append(hello.Commands, gateway.Subscribe{Channel: p.channel})
		}
	}
	session, err := s.gateway.Open(r.Context(), hello)
	return session, at, err
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
	// Each resume is a command of the session's, and so is the end of them.
	for _, limit := range []int{limits.ChannelsPerSession, limits.CommandsPerSecond - 1} {
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

// script is the reading side of a connection whose peer cannot speak: it gives
// the commands that resume the peer's channels, and then nothing until it ends.
type script struct {
	commands [][]byte // owned by the reading goroutine

	once sync.Once
	err  error         // set before over is closed
	over chan struct{} // closed at the end
}

func newScript(c *cursors) *script {
	s := &script{over: make(chan struct{})}
	for i := range c.places {
		if p := &c.places[i]; p.hasPosition() {
			s.commands = append(s.commands, resumeCommand(p))
		}
	}
	s.commands = append(s.commands, []byte{})
	return s
}

func (s *script) Read(ctx context.Context) (gateway.Frame, error) {
	if len(s.commands) > 0 {
		command := s.commands[0]
		s.commands = s.commands[1:]
		return gateway.Frame{Data: command}, nil
	}
	select {
	case <-s.over:
	case <-ctx.Done():
		s.end(io.EOF)
	}
	return gateway.Frame{}, s.err
}

// end lets Read return err. Only the first call counts.
func (s *script) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.over)
	})
}

var errEnded = errors.New("the connection has ended")
