package gateway

// conclude counts a command and tells the client if it has failed.
func (s *Session) conclude(command Command, err error) {
	kind, id, channel := describe(command)
	e := s.concludeAs(kind, id, channel, err)
	if _, authenticating := command.(Auth); authenticating && e != nil {
		s.endRefused(e)
	}
}

// concludeAs is like conclude, given only the command's kind, ID and channel. It returns nil
// if the command has succeeded.
func (s *Session) concludeAs(kind string, id ID, channel string, err error) *Error {
	if err == nil {
		s.gateway.metrics.Commands.Handled(kind, "ok").Inc()
		return nil
	}
	e := ErrorOf(err)
	s.gateway.metrics.Commands.Handled(kind, string(e.Code)).Inc()
	if e.Code == Internal {
		s.gateway.log.Error("command failed", "command", kind, "error", err)
	}
	s.tell(Failure{ID: id, Channel: channel, Command: kind, Code: e.Code, Message: e.Message, Reason: e.Reason})
	return e
}

// endRefused ends the session if a failed Auth means that its client may not stay.
func (s *Session) endRefused(e *Error) {
	if d := s.gateway.Denials.of(s.who(), s.remote); d != nil {
		s.Close(reasonOf(d))
	} else if e.Code == Unauthenticated {
		s.Close(e.refusal())
	}
}

// describe returns a command's name in metrics, its ID and its channel.
func describe(command Command) (kind string, id ID, channel string) {
	switch c := command.(type) {
	case Auth:
		return "auth", c.ID, ""
	case Subscribe:
		return "subscribe", c.ID, c.Channel
	case Renew:
		return "renew", c.ID, c.Channel
	case Unsubscribe:
		return "unsubscribe", c.ID, c.Channel
	case Publish:
		return "publish", c.ID, c.Channel
	case Presence:
		return "presence", c.ID, c.Channel
	case History:
		return "history", c.ID, c.Channel
	case Call:
		return "call", c.ID, ""
	case Ping:
		return "ping", c.ID, ""
	case Malformed:
		return "malformed", c.ID, ""
	}
	return "other", ID{}, ""
}

// commandKinds lists the names that describe returns, except "other".
var commandKinds = []string{"auth", "subscribe", "renew", "unsubscribe", "publish", "presence", "history", "call", "ping", "malformed"}
