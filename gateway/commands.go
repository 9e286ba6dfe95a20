package gateway

import (
	"context"
	"fmt"
	"time"

	"tidegate/broker"

	"golang.org/x/time/rate"
)

// handle does what the client asks, and answers.
func (s *Session) handle(ctx context.Context, command Command) {
	kind, id, channel := describe(command)
	err := s.admit(command)
	if err == nil {
		err = s.perform(ctx, command)
	}
	if err == nil {
		s.gateway.metrics.Commands.Handled(kind, "ok").Inc()
		return
	}
	e := ErrorOf(err)
	s.gateway.metrics.Commands.Handled(kind, string(e.Code)).Inc()
	if e.Code == Internal {
		s.gateway.log.Error("command failed", "command", kind, "error", err)
	}
	s.tell(Failure{ID: id, Channel: channel, Code: e.Code, Message: e.Message})
	if _, authenticating := command.(Auth); authenticating && e.Code == Unauthenticated {
		s.Close(NotAuthentic.With(e.Message))
	}
}

// commandKinds are the names that describe gives.
var commandKinds = []string{"auth", "subscribe", "unsubscribe", "publish", "presence", "history", "ping", "malformed"}

// describe returns a command's name in metrics, its id, and its channel.
func describe(command Command) (kind string, id ID, channel string) {
	switch c := command.(type) {
	case Auth:
		return "auth", c.ID, ""
	case Subscribe:
		return "subscribe", c.ID, c.Channel
	case Unsubscribe:
		return "unsubscribe", c.ID, c.Channel
	case Publish:
		return "publish", c.ID, c.Channel
	case Presence:
		return "presence", c.ID, c.Channel
	case History:
		return "history", c.ID, c.Channel
	case Ping:
		return "ping", c.ID, ""
	case Malformed:
		return "malformed", c.ID, ""
	}
	return "other", ID{}, ""
}

// admit refuses what comes too fast, or before the client has authenticated.
func (s *Session) admit(command Command) error {
	if !s.withinRate() {
		return failf(RateLimited, "more than %d commands a second: slow down and send it again", s.gateway.limits.CommandsPerSecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, authenticating := command.(Auth); s.pending != nil && !authenticating {
		return failf(Unauthenticated, "authenticate first, with an auth command")
	}
	return nil
}

func (s *Session) withinRate() bool {
	most := s.gateway.limits.CommandsPerSecond
	if most <= 0 {
		return true
	}
	s.mu.Lock()
	if s.limiter == nil {
		s.limiter = rate.NewLimiter(rate.Limit(most), most)
	}
	limiter := s.limiter
	s.mu.Unlock()
	return limiter.Allow()
}

func (s *Session) perform(ctx context.Context, command Command) error {
	switch c := command.(type) {
	case Auth:
		return s.authenticate(ctx, c)
	case Subscribe:
		return s.subscribe(ctx, c)
	case Unsubscribe:
		return s.unsubscribe(c)
	case Publish:
		return s.publish(ctx, c)
	case Presence:
		return s.askPresence(ctx, c)
	case History:
		return s.askHistory(ctx, c)
	case Ping:
		s.tell(Pong(c))
		return nil
	case Malformed:
		return failf(BadRequest, "%s", c.Reason)
	}
	return fmt.Errorf("command %T is not known to the core", command)
}

func (s *Session) channelOf(name string) string {
	if name == "" {
		return s.home
	}
	return name
}

func (s *Session) subscribe(ctx context.Context, c Subscribe) error {
	name := s.channelOf(c.Channel)
	cursor, err := broker.ParsePosition(c.Cursor)
	if err != nil {
		return failf(BadRequest, "%v", err)
	}
	rules := s.gateway.rules.Load()
	if err := s.gateway.permit(ctx, s.who(), s, ToSubscribe, name); err != nil {
		return err
	}
	reply := Subscribed{ID: c.ID, Channel: name, unasked: s.conn != nil && !c.ID.Given}
	err = s.join(ctx, reply, cursor, terms{noEcho: c.NoEcho})
	if s.gateway.rules.Load() != rules {
		s.reauthorize() // SetRules may have looked before the session was on the channel
	}
	return err
}

// answer tells of a subscription, unless the client does not want to hear of it
// and nothing was lost.
func (s *Session) answer(reply Subscribed) {
	if reply.unasked && (reply.Recovered || !reply.Resumed) {
		return
	}
	s.tell(reply)
}

// join puts the session on a channel and answers. On an error it is not on it.
func (s *Session) join(ctx context.Context, reply Subscribed, cursor broker.Position, t terms) error {
	sub, fresh, err := s.reserve(reply.Channel, t)
	if err != nil {
		return err
	}
	if !fresh && !cursor.IsZero() {
		sub.channel.stepOut(sub)
	}
	if err = s.gateway.hub.subscribeLive(ctx, sub.channel); err == nil {
		err = sub.channel.enter(ctx, sub, reply, cursor)
	}
	if err != nil {
		s.abandon(sub)
		return err
	}
	return nil
}

// abandon takes the session off a channel that it could not join, unless that has
// happened meanwhile.
func (s *Session) abandon(sub *subscription) {
	if s.dropOne(sub) {
		s.gateway.forget(sub)
	}
}

// quit takes the session off a channel, and reports whether it was on it.
func (s *Session) quit(name string) bool {
	sub := s.drop(name)
	if sub == nil {
		return false
	}
	s.gateway.forget(sub)
	return true
}

func (s *Session) unsubscribe(c Unsubscribe) error {
	name := s.channelOf(c.Channel)
	if err := CheckChannelName(name); err != nil {
		return err
	}
	if user := s.who().User; user != "" && name == PersonalChannel(user) {
		return failf(Forbidden, "a session stays on its user's personal channel")
	}
	if !s.quit(name) {
		return failf(NotFound, "the session is not subscribed to %q", name)
	}
	if c.ID.Given {
		s.tell(Unsubscribed{ID: c.ID, Channel: name})
	}
	return nil
}

func (s *Session) publish(ctx context.Context, c Publish) error {
	c.Channel = s.channelOf(c.Channel)
	position, err := s.gateway.publish(ctx, s.who(), s, c)
	if err != nil {
		return err
	}
	if c.ID.Given {
		s.tell(Published{ID: c.ID, Channel: c.Channel, Position: position})
	}
	return nil
}

func (s *Session) askHistory(ctx context.Context, c History) error {
	name := s.channelOf(c.Channel)
	page, err := s.gateway.readHistory(ctx, s.who(), s, History{Channel: name, Cursor: c.Cursor, Limit: c.Limit})
	if err != nil {
		return err
	}
	s.tell(Messages{ID: c.ID, Channel: name, Messages: page.Messages, Position: page.cursor(), Lost: page.Lost})
	return nil
}

func (s *Session) authenticate(ctx context.Context, c Auth) error {
	p, err := s.gateway.Authenticate(ctx, c.Token)
	if err != nil {
		return err
	}
	if p, err = s.askConnect(ctx, p); err != nil {
		return err
	}
	if user := s.who().User; user != "" && user != p.User {
		return failf(BadRequest, "a session keeps its user: connect anew to be another one")
	}
	if err := s.become(&p); err != nil {
		return err
	}
	s.tell(s.welcome(c.ID))
	s.reauthorize()
	return s.joinOwn(ctx)
}

// become makes the session act as p.
func (s *Session) become(p *Principal) error {
	if err := s.gateway.sessions.identify(s, p.User, s.gateway.limits.SessionsPerUser); err != nil {
		return err
	}
	s.mu.Lock()
	s.principal = p
	s.stopPending()
	s.mu.Unlock()
	s.gateway.expireSoon(s, p.Expires)
	s.enrolUser()
	s.attendAll()
	return nil
}

// joinOwn puts the session on the channels that are its user's from the start:
// the personal one, and those of Principal.Channels. That the backend has put a
// name there is the permission, whatever the channel's rule says, but nobody gets
// onto another's personal channel. The client hears of a name that is refused,
// and the session lives: a token with a mistake in it would else never open one.
// A session that is alone with its channels gets none of them: who opened it has
// named all that it is to hear.
func (s *Session) joinOwn(ctx context.Context) error {
	if s.alone {
		return nil
	}
	p := s.who()
	if p.User != "" {
		if err := s.receiveChannel(ctx, PersonalChannel(p.User)); err != nil {
			return err
		}
	}
	for _, name := range p.Channels {
		if err := checkClaim(p, name); err != nil {
			s.mention(Failure{Channel: name, Code: err.Code, Message: err.Message})
			continue
		}
		if err := s.receiveChannel(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// checkClaim returns what is wrong with one of p.Channels.
func checkClaim(p *Principal, name string) *Error {
	if err := CheckChannelName(name); err != nil {
		return ErrorOf(err)
	}
	if isPersonal(name) && name != PersonalChannel(p.User) {
		return failf(Forbidden, "%q is another user's personal channel", name)
	}
	return nil
}

func (s *Session) welcome(id ID) Welcome {
	return Welcome{ID: id, Session: s.id, User: s.who().User, Node: s.gateway.node, Ping: s.gateway.ping}
}

// awaitAuth ends the session unless it authenticates in time.
func (s *Session) awaitAuth() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = time.AfterFunc(authPatience, func() {
		s.gateway.NoteNoToken()
		s.Close(NotAuthentic.With("no auth command within " + authPatience.String()))
	})
}

const authPatience = 10 * time.Second

// stopPending is called with s.mu held.
func (s *Session) stopPending() {
	if s.pending != nil {
		s.pending.Stop()
		s.pending = nil
	}
}
