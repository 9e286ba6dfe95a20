package client

// confirm begins to take a subscription's events from l. What may have been
// missed before is told first.
func (all *subscriptions) confirm(l *link, f *frame) {
	all.mu.Lock()
	asked, ok := all.asks[f.ID]
	all.mu.Unlock()
	if !ok || asked.link != l {
		return // the gateway subscribed the session by itself
	}
	s := asked.subscription
	s.turn.Lock()
	defer s.turn.Unlock()
	missed := s.live && asked.cursor == "" || asked.cursor != "" && !f.recovered()
	if missed && !s.put(l, Gap{Channel: s.channel}) {
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

// resumeAt returns where a subscription is after its confirmation. What is newer
// than that is yet to come. The cursor stays what it was also where it was lost:
// the gateway knows what of it is not to be sent again, should the link end before
// the next message.
func resumeAt(cursor, asked string, confirmation *frame) string {
	from, top := placeOf(asked), placeOf(confirmation.Cursor)
	switch {
	case asked == "":
		return confirmation.Cursor
	case !confirmation.recovered() && from.epoch == top.epoch && from.offset > top.offset:
		return place{epoch: top.epoch}.cursor() // all that there is is news
	}
	return cursor
}

// deliver hands an event to its subscription, if l is the link that it listens
// to and the event is news, and waits for room in its buffer.
func (all *subscriptions) deliver(l *link, f *frame, event Event) {
	all.mu.Lock()
	s := all.list[f.Channel]
	all.mu.Unlock()
	if s == nil {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.wants(l, f) && s.put(l, event) {
		s.passed(l, f)
	}
}

func (s *Subscription) wants(l *link, f *frame) bool {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	return s.from == l && !placeOf(s.cursor).has(placeOf(f.Cursor)) && !s.isDouble(l, f)
}

// isDouble reports whether a message without a cursor came already, over the link before
// this one. Both links have the same messages in the same order: what the last link told
// while this one was being asked is what this one may begin with. The caller holds
// the outlet's mu.
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

// countsDoubles reports whether an event is a message that can be told from others without
// a cursor. One that does not say when it was published cannot: it may come twice, so that
// none is lost.
func (s *Subscription) countsDoubles(f *frame) bool {
	return s.told != nil && f.Type == "message" && f.Cursor == "" && f.Time != 0
}

// put waits for room in the buffer. It returns false if the link or the
// subscription ended before.
func (s *Subscription) put(l *link, event Event) bool {
	select {
	case s.events <- event:
		return true
	case <-s.done:
	case <-l.ctx.Done():
	}
	return false
}

// passed notes that an event of l was delivered.
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

// unsubscribed ends a subscription that the gateway has ended.
func (all *subscriptions) unsubscribed(l *link, f *frame) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.list[f.Channel]
	if s == nil || s.from != l {
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
