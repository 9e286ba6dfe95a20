package client

// confirm begins to take a subscription's events from l. What may have been
// missed before is told first.
func (c *Client) confirm(l *link, f *frame) {
	c.mu.Lock()
	asked, ok := l.asks[f.ID]
	c.mu.Unlock()
	if !ok {
		return // the gateway subscribed the session by itself
	}
	s := asked.subscription
	s.turn.Lock()
	defer s.turn.Unlock()
	missed := s.live && asked.cursor == "" || asked.cursor != "" && !f.recovered()
	if missed && !s.put(l, Gap{Channel: s.channel}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.answered(f.ID)
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
func (c *Client) deliver(l *link, f *frame, event Event) {
	c.mu.Lock()
	s := c.subscriptions[f.Channel]
	c.mu.Unlock()
	if s == nil {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.wants(l, f) && s.put(l, event) {
		s.passed(f)
	}
}

func (s *Subscription) wants(l *link, f *frame) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.from == l && !placeOf(s.cursor).has(placeOf(f.Cursor))
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

func (s *Subscription) passed(f *frame) {
	if f.Cursor == "" {
		return
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.cursor = f.Cursor
}

// unsubscribed ends a subscription that the gateway has ended.
func (c *Client) unsubscribed(l *link, f *frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subscriptions[f.Channel]
	if s == nil || s.from != l {
		return
	}
	c.remove(s)
	code, reason := f.Code, f.Reason
	if code == "" {
		code = "unsubscribed"
	}
	if reason == "" {
		reason = "the backend ended the subscription"
	}
	s.finish(&Error{Code: code, Message: reason})
}
