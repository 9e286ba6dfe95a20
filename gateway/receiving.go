package gateway

import (
	"context"

	"tidegate/gateway/internal/rates"
)

// Receive handles one frame of the client, which it does not retain. It returns when the
// frame's commands are done, except for subscribes and publishes, which continue together
// with those of the next frames. A frame without commands, such as a pong, costs as much as
// one. Receive must not be called concurrently. Its caller must pass an error to End.
func (s *Session) Receive(ctx context.Context, frame Frame) (err error) {
	defer s.gateway.wall.Catch("handle a client's frame", func() { err = Failed })
	if !s.out.Open() {
		return s.out.Why()
	}
	commands, err := s.dialect.protocol.Decode(frame)
	if err != nil {
		return err
	}
	if len(commands) == 0 && s.spend(rates.Cost{Commands: 1}) != nil {
		s.hold(ctx)
	}
	for _, command := range commands {
		if !s.out.Open() {
			return s.out.Why()
		}
		s.handle(ctx, command)
	}
	return nil
}

// Subscribe subscribes the session to channels, as commands of a client would. After all
// missed messages it sends CaughtUp. It returns at once. A transport whose clients cannot send
// calls it once, after Attach.
func (s *Session) Subscribe(channels ...Subscribe) {
	s.goOn(func() {
		s.subscribeAll(s.gateway.life, channels, s.concludeSubscribe)
		s.later(rest{do: func() { s.tell(CaughtUp{}) }})
	})
}

// Attach gives the session its connection. The transport does the reading: it calls Receive
// for each frame, Rest before it waits for the client or anything else, and End when there are
// no more frames. A transport whose clients cannot send calls Subscribe instead of Receive.
// Attach must be called only once.
func (s *Session) Attach(conn Conn) {
	s.conn = conn
	if s.out.Attach() {
		s.gateway.line.Queue(&s.out)
	}
	s.goOnAttached()
}
