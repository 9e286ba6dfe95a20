package gateway

import (
	"context"
	"encoding/json"
	"time"

	"tidegate/gateway/internal/rates"
)

// Open opens a session and carries out its opening commands. Events for the client wait until
// Session.Attach. If Open returns an error there is no session; the error is an *Error or one
// that ErrorOf can convert.
func (g *Gateway) Open(ctx context.Context, hello Hello) (*Session, error) {
	s, err := g.open(ctx, hello)
	if err != nil {
		g.noteRefused(hello, ErrorOf(err))
	}
	return s, err
}

// noteRefused counts a refused client. If the reason is a limit, it logs that, at most once a
// minute: otherwise operators would not learn which limit it is.
func (g *Gateway) noteRefused(hello Hello, e *Error) {
	g.metrics.Sessions.Refused.Count(string(e.Code))
	if e.Code != LimitExceeded {
		return
	}
	g.refused.Do(func() {
		g.log.Warn("a session is refused, and others may be", "error", e.Message, "user", hello.Principal.User, "remote", hello.Remote)
	})
}

func (g *Gateway) open(ctx context.Context, hello Hello) (*Session, error) {
	if err := g.drain.check(); err != nil {
		return nil, err
	}
	if err := g.Budget.connect(); err != nil {
		return nil, err
	}
	id, err := idOf(hello.Session)
	if err != nil {
		return nil, err
	}
	s := &Session{
		gateway: g, id: id, writer: writer{dialect: g.dialects.of(hello.Protocol)},
		transport: hello.Transport, alone: hello.Alone || hello.Channel != "", remote: hello.Remote, special: g.specialOf(ctx, &hello),
		pinged: hello.Pinged, opened: time.Now().UnixNano(), principal: g.keep(hello.Principal),
	}
	s.out.Owner = s
	if hello.Room != nil {
		if err := hello.Room.Take(); err != nil {
			return nil, err
		}
	}
	s.purse.address = g.Budget.rates.Address(NetworkOf(s.remote))
	err = s.holdHeaders()
	if err == nil {
		if err = g.sessions.add(s, &g.limits); err != nil {
			s.dropHeaders()
		}
	}
	if err != nil {
		g.Budget.rates.Release(s.purse.address)
		s.special.giveRoom()
		return nil, err
	}
	g.metrics.Sessions.Opened(s.transport, s.dialect.protocol.Name())
	err = g.drain.check() // a drain that has just begun may have missed this session
	if err == nil {
		err = s.begin(ctx, hello)
	}
	if err != nil {
		reason := RefusalOf(err)
		first, _ := s.out.End(reason.ending(), time.Now())
		if !first {
			return nil, ReasonOf(s.out.Why()).AsError() // it had ended, and err is what came of that
		}
		s.leave(reason)
		return nil, err
	}
	return s, nil
}

func (s *Session) begin(ctx context.Context, hello Hello) (err error) {
	defer s.gateway.wall.Catch("open a session", func() { err = Failed })
	if err := s.gateway.Denials.Admit(&hello.Principal, s.remote); err != nil {
		return err // before asking the backend
	}
	if n := max(len(hello.Channels), len(hello.Commands)); n > 0 && !hello.Principal.Backend() { // such as the channels of a long-poll
		if err := s.gateway.Budget.spend(nil, s.purse.address, rates.Cost{Commands: n}); err != nil {
			return err
		}
	}
	was := s.who()
	p, told, err := s.introduce(ctx, hello)
	if err != nil {
		return err
	}
	for _, name := range hello.Channels {
		if err := s.gateway.Authorize(&p, ToSubscribe, name); err != nil {
			return err
		}
	}
	if hello.AuthFirst {
		if err := s.become(s.gateway.keep(p), was); err != nil {
			return err
		}
		s.awaitAuth()
		return s.performAll(ctx, hello.Commands)
	}
	g := greeting{session: s, as: s.gateway.keep(p), was: was, told: told, cursors: hello.Cursors}
	if err := g.first(ctx); err != nil {
		return err
	}
	if s.lacksAuth(&p) {
		s.awaitAuth()
	}
	if err := s.performAll(ctx, hello.Commands); err != nil {
		return err
	}
	s.register()
	return nil
}

// introduce returns the principal that the session is to act as, and the backend's data for
// the client.
func (s *Session) introduce(ctx context.Context, hello Hello) (p Principal, told json.RawMessage, err error) {
	if s.gateway.asksLater(&hello) {
		return hello.Principal, nil, nil
	}
	p, told, err = s.askConnect(ctx, hello.Principal, "")
	if err == nil && s.lacksAuth(&p) {
		s.gateway.NoteNoToken()
		err = failf(Unauthenticated, "a token is required")
	}
	return p, told, err
}

// Refuse returns a session that has already ended, because Open, or what prepares hello, has
// failed with err. It is for transports that can report the refusal in the client's protocol:
// when attached to a connection, the session sends a Goodbye and closes it. It does not count
// as a session.
func (g *Gateway) Refuse(hello Hello, err error) *Session {
	s := &Session{
		gateway: g, writer: writer{dialect: g.dialects.of(hello.Protocol)}, transport: hello.Transport, remote: hello.Remote,
		special: &g.nothingSpecial, opened: time.Now().UnixNano(), principal: &g.nobody, left: true,
	}
	s.out.Owner = s
	reason := RefusalOf(err)
	s.mention(Goodbye{reason})
	s.out.End(reason.ending(), time.Now())
	return s
}
