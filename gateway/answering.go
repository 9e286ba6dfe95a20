package gateway

// conclude counts a command and tells the client if it has failed.
func (s *Session) conclude(command Command, err error) {
	kind, id, channel := command.about()
	e := s.concludeAs(kind, id, channel, err)
	if _, authenticating := command.(Auth); authenticating && e != nil {
		s.endRefused(e)
	}
}

// concludeSubscribe is conclude for a Subscribe, without an allocation.
func (s *Session) concludeSubscribe(c Subscribe, err error) {
	s.concludeAs("subscribe", c.ID, c.Channel, err)
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
