package gateway

const mostInLine = 256 // frames

// line puts a frame in line to be received. Until it is, it takes of the node's room for
// what clients have sent.
func (s *Session) line(f Frame) error {
	err := s.gateway.TakeInbound(len(f.Data))
	if err != nil {
		return err
	}
	if err = s.putInLine(f); err != nil {
		s.gateway.GiveInbound(len(f.Data))
	}
	return err
}

func (s *Session) putInLine(f Frame) error {
	most := max(s.gateway.limits.OutboxBytes, DefaultLimits().OutboxBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inLine == nil {
		s.inLine = &framesInLine{}
		s.goOn(s.receiveInLine)
	}
	if len(s.inLine.frames) >= mostInLine || s.inLine.bytes+len(f.Data) > most {
		return failf(RateLimited, "the session has too much to do already: send it again a little later")
	}
	s.inLine.frames = append(s.inLine.frames, f)
	s.inLine.bytes += len(f.Data)
	return nil
}

func (s *Session) receiveInLine() {
	for {
		f, waits := s.nextInLine()
		if !waits {
			s.Rest()
			return
		}
		if err := s.Receive(s.gateway.life, f); err != nil {
			s.End(err)
		}
		s.gateway.GiveInbound(len(f.Data))
	}
}

// nextInLine takes the oldest frame. When there is none, or the session has ended,
// the line is closed.
func (s *Session) nextInLine() (f Frame, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inLine.frames) == 0 || s.left {
		s.gateway.GiveInbound(s.inLine.bytes)
		s.inLine = nil
		return Frame{}, false
	}
	f, s.inLine.frames = s.inLine.frames[0], s.inLine.frames[1:]
	s.inLine.bytes -= len(f.Data)
	return f, true
}
