package gateway

const mostInLine = 256 // frames

// line puts a frame in line to be received.
func (s *Session) line(frame Frame) error {
	f := lined{frame, s.Payer()}
	err := s.gateway.Budget.Hold(f.payer, len(f.Data))
	if err != nil {
		return err
	}
	if err = s.putInLine(f); err != nil {
		s.giveLined(f)
	}
	return err
}

func (s *Session) giveLined(f lined) { s.gateway.Budget.LetGo(f.payer, len(f.Data)) }

func (s *Session) putInLine(f lined) error {
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
		if err := s.Receive(s.gateway.life, f.Frame); err != nil {
			s.End(err)
		}
		s.giveLined(f)
	}
}

// nextInLine takes the oldest frame. When there is none, or the session has ended,
// the line is closed.
func (s *Session) nextInLine() (f lined, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inLine.frames) == 0 || s.left {
		for _, f := range s.inLine.frames {
			s.giveLined(f)
		}
		s.inLine = nil
		return lined{}, false
	}
	f, s.inLine.frames = s.inLine.frames[0], s.inLine.frames[1:]
	s.inLine.bytes -= len(f.Data)
	return f, true
}
