package gateway

import "context"

// Receive handles one frame of the client's, which is not kept. It takes as long
// as the commands in it do, but for subscribes and publishes: those go on, together
// with those of the next frames. Calls must not overlap. An error is to be given to
// End.
func (s *Session) Receive(ctx context.Context, frame Frame) (err error) {
	defer s.gateway.wall.Catch("handle a client's frame", func() { err = Failed })
	if !s.out.Open() {
		return s.out.Why()
	}
	commands, err := s.dialect.protocol.Decode(frame)
	if err != nil {
		return err
	}
	for _, command := range commands {
		s.handle(ctx, command)
	}
	return nil
}

// Subscribe puts the session on channels, as a client's commands would, and then
// tells CaughtUp: all that was missed has been told by then. It returns at once, and
// is called once, after Attach, by a transport whose clients cannot speak.
func (s *Session) Subscribe(channels ...Subscribe) {
	s.goOn(func() {
		s.subscribeAll(s.gateway.life, channels, func(c Subscribe, err error) { s.conclude(c, err) })
		s.tell(CaughtUp{})
	})
}

// Attach gives the session its connection. The transport does the reading: it calls
// Receive for each frame, Rest when it is about to wait, for the client or anything
// else, and End when there will be no more. One whose clients cannot speak calls
// Subscribe instead of Receive. Attach is called once.
func (s *Session) Attach(conn Conn) {
	s.conn = conn
	if s.out.Attach() {
		s.gateway.line.Queue(&s.out)
	}
	s.goOnAttached()
}
