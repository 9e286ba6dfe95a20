package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"tidegate/gateway/internal/rates"
	"tidegate/gateway/rules"
)

// handle carries out a command and answers it. Consecutive subscribes, or consecutive
// publishes, may still be in progress when it returns.
func (s *Session) handle(ctx context.Context, command Command) {
	err := s.mayDo(ctx, command)
	tooFast := err != nil && ErrorOf(err).Code == RateLimited
	subscribe, subscribing := command.(Subscribe)
	publish, publishing := command.(Publish)
	if !publishing || err != nil {
		s.Rest() // the command may take a while
		s.publishing.await()
	}
	if subscribing && err == nil {
		s.gather(subscribe)
		return
	}
	s.awaitGathered()
	switch {
	case err != nil:
	case publishing:
		s.publish(ctx, publish)
		return
	default:
		err = s.perform(ctx, command)
	}
	s.conclude(command, err)
	if tooFast {
		s.hold(ctx)
	}
}

// mayDo returns an error if commands come too fast or the client has yet to authenticate.
func (s *Session) mayDo(ctx context.Context, command Command) error {
	if s.waits(command) {
		s.awaitTurn(ctx)
	} else if err := s.spend(s.costOf(command)); err != nil {
		return err
	}
	switch command.(type) {
	case Auth, Malformed: // allowed before authentication, too
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != nil {
		return failf(Unauthenticated, "authenticate first, with an auth command")
	}
	return nil
}

// waits reports whether a command waits for its turn if it comes too fast: what a patient client
// would not repeat, and a token, which may have to be renewed in time.
func (s *Session) waits(command Command) bool {
	switch command.(type) {
	case Subscribe, Unsubscribe:
		return s.special.patient
	case Renew:
		return true
	case Auth:
		return s.special.gate == nil || s.who().User == "" // a gate may cost more, and takes one sign-in
	}
	return false
}

// costOf returns the cost of a command.
func (s *Session) costOf(command Command) rates.Cost {
	switch c := command.(type) {
	case Publish:
		c.Channel = s.special.channelOf(c.Channel)
		return s.gateway.PublishCost(&c)
	case Call:
		return rates.Cost{Commands: 1, Bytes: len(c.Method) + len(c.Payload)}
	}
	return rates.Cost{Commands: 1}
}

// performAll carries out the commands with which a session opens, and stops at the first
// error.
func (s *Session) performAll(ctx context.Context, commands []Command) (err error) {
	var subscribes []Subscribe
	for len(commands) > 0 && err == nil {
		subscribes, commands = cutSubscribes(commands)
		s.subscribeAll(ctx, subscribes, func(_ Subscribe, failed error) { err = cmp.Or(err, failed) })
		if len(commands) > 0 && err == nil {
			err = s.perform(ctx, commands[0])
			commands = commands[1:]
		}
	}
	return err
}

// cutSubscribes splits commands into the leading subscribes and the rest.
func cutSubscribes(commands []Command) (subscribes []Subscribe, rest []Command) {
	for i, command := range commands {
		c, ok := command.(Subscribe)
		if !ok {
			return subscribes, commands[i:]
		}
		subscribes = append(subscribes, c)
	}
	return subscribes, nil
}

// perform carries out any command other than Subscribe and Publish.
func (s *Session) perform(ctx context.Context, command Command) error {
	switch c := command.(type) {
	case Auth:
		return s.authenticate(ctx, c)
	case Renew:
		return s.renew(ctx, c)
	case Unsubscribe:
		return s.unsubscribe(c)
	case Presence:
		return s.askPresence(ctx, c)
	case History:
		return s.askHistory(ctx, c)
	case Call:
		return s.call(ctx, c)
	case Ping:
		s.tell(Pong(c))
		return nil
	case Malformed:
		return failf(BadRequest, "%s", c.Reason)
	}
	return fmt.Errorf("command %T is not known to the core", command)
}

func (s *Session) unsubscribe(c Unsubscribe) error {
	name := s.special.channelOf(c.Channel)
	if err := rules.CheckChannel(name); err != nil {
		return err
	}
	if user := s.who().User; user != "" && name == rules.PersonalChannel(user) {
		return failf(Forbidden, "a session stays on its user's personal channel")
	}
	if !s.quit(Unsubscribed{ID: c.ID, Channel: name}) {
		return failf(NotFound, "the session is not subscribed to %q", name)
	}
	return nil
}

func (s *Session) askHistory(ctx context.Context, c History) error {
	turn := s.reader()
	if err := turn.begin(ctx); err != nil {
		return err
	}
	defer turn.End()
	name := s.special.channelOf(c.Channel)
	c.Channel = name
	page, err := s.gateway.readHistory(ctx, s.whoOn(name), s, c)
	if err != nil {
		return err
	}
	s.tell(Messages{ID: c.ID, Channel: name, Messages: page.Messages, Position: page.cursor(), Top: page.Top, Lost: page.Lost, Unknown: page.Unknown})
	return nil
}

func (s *Session) authenticate(ctx context.Context, c Auth) error {
	was := s.who()
	p, told, err := s.signIn(ctx, c)
	if err != nil {
		return err
	}
	g := greeting{session: s, id: c.ID, as: p, was: was, told: told}
	if s.welcomed {
		err = g.again(ctx)
	} else {
		g.cursors = c.Cursors
		if err = g.first(ctx); err != nil {
			s.awaitAuth()
		}
	}
	if err == nil {
		s.register()
	}
	return err
}

// signIn returns the principal that the session is to act as from now on, and the backend's
// data for the client.
func (s *Session) signIn(ctx context.Context, c Auth) (by *Principal, told json.RawMessage, err error) {
	p := *s.who()
	switch {
	case s.special.gate != nil:
		p, err = s.special.gate.SignIn(ctx, s.id, c)
	case c.Token != "":
		p, err = s.gateway.Authenticate(ctx, c.Token)
	}
	if err != nil {
		return nil, nil, err
	}
	s.owe((len(p.Watched) + watchedShare - 1) / watchedShare)
	if p, told, err = s.askConnect(ctx, p, c.Data); err != nil {
		return nil, nil, err
	}
	if s.lacksAuth(&p) {
		s.gateway.NoteNoToken()
		return nil, nil, failf(Unauthenticated, "a token is required")
	}
	if user := s.who().User; user != "" && user != p.User {
		return nil, nil, failf(BadRequest, "a session keeps its user: connect anew to be another one")
	}
	return s.gateway.keep(p), told, nil
}
