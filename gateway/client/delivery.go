package client

// confirm starts to accept a subscription's events from l. If messages may have been
// missed, it delivers a Gap first.
func (all *subscriptions) confirm(l *link, f *frame) {
	all.mu.Lock()
	asked, ok := all.asks[f.ID]
	all.mu.Unlock()
	if !ok || asked.link != l {
		return // the gateway subscribed the session on its own
	}
	s := asked.subscription
	if !s.takeTurn(l) {
		return
	}
	defer s.endTurn()
	missed := s.live && asked.cursor == "" || asked.cursor != "" && !f.recovered()
	if missed && !s.put(l, Gap{Channel: s.channel}) && l.ctx.Err() != nil {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.answered(l, f.ID)
	s.from = l
	s.last = nil
	s.cursor = resumeAt(s.cursor, asked.cursor, f)
	if !s.live {
		s.live = true
		close(s.ready)
	}
}

// resumeAt returns the cursor of a subscription after its confirmation; newer messages are
// still to come. The cursor stays the same even if messages were lost: if the link ends
// before the next message, the gateway needs it to know what not to send again.
func resumeAt(cursor, asked string, confirmation *frame) string {
	from, top := placeOf(asked), placeOf(confirmation.Cursor)
	switch {
	case asked == "":
		return confirmation.Cursor
	case !confirmation.recovered() && from.epoch == top.epoch && from.offset > top.offset:
		return top.epoch + ":0" // everything in the history is new
	}
	return cursor
}

// deliver passes an event to its subscription, if the subscription listens to l and the
// event is new. It blocks while the buffer is full.
func (all *subscriptions) deliver(l *link, f *frame, event Event) {
	all.mu.Lock()
	s := all.list[f.Channel]
	all.mu.Unlock()
	if s == nil {
		return
	}
	if !s.takeTurn(l) {
		return
	}
	defer s.endTurn()
	if s.wants(l, f) && s.put(l, event) {
		s.passed(l, f)
	}
}

func (s *Subscription) wants(l *link, f *frame) bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	return s.from == l && !placeOf(s.cursor).has(placeOf(f.Cursor)) && !s.isDouble(l, f)
}

// isDouble reports whether a message without a cursor has already been delivered over the
// previous link. Both links carry the same messages in the same order, so this one may
// begin with messages that arrived on the previous one after the subscribe was sent. The
// caller must hold the outlet's mu.
func (s *Subscription) isDouble(l *link, f *frame) bool {
	if s.asked != l || !s.countsDoubles(f) {
		return false
	}
	print := f.fingerprint()
	if s.told[print] == 0 {
		s.told = nil
		return false
	}
	s.told[print]--
	return true
}

// countsDoubles reports whether an event is a message without a cursor that can be told
// from others. This needs the publish time. A message without one may be delivered twice,
// so that none is lost.
func (s *Subscription) countsDoubles(f *frame) bool {
	return s.told != nil && f.Type == "message" && f.Cursor == "" && f.Time != 0
}

// takeTurn blocks until no other link delivers an event. It returns false if l ends first.
func (s *Subscription) takeTurn(l *link) bool {
	select {
	case s.turn <- struct{}{}:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (s *Subscription) endTurn() { <-s.turn }

// put blocks until the buffer has room. It returns false if the link or the
// subscription ends first.
func (s *Subscription) put(l *link, event Event) bool {
	select {
	case s.events <- event:
		return true
	case <-s.done:
	case <-l.ctx.Done():
	}
	return false
}

// passed records that an event of l was delivered.
func (s *Subscription) passed(l *link, f *frame) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	if s.asked != l && s.countsDoubles(f) {
		s.told[f.fingerprint()]++
	}
	if f.Cursor != "" {
		s.cursor = f.Cursor
	}
}

// unsubscribed handles the answer to an unsubscribe, or ends a subscription that the gateway has
// ended.
func (all *subscriptions) unsubscribed(l *link, f *frame) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.list[f.Channel]
	if _, asked := all.answered(l, f.ID); asked || s == nil || s.from != l {
		return
	}
	all.remove(s)
	code, reason := f.Code, f.Reason
	if code == "" {
		code = "unsubscribed"
	}
	if reason == "" {
		reason = "the backend ended the subscription"
	}
	s.finish(&Error{Code: code, Message: reason})
}
