package client

// handle acts on a frame. Only the link's read goroutine calls it.
func (c *Client) handle(l *link, f *frame) {
	switch f.Type {
	case "message":
		c.subscriptions.deliver(l, f, f.message())
	case "gap":
		c.subscriptions.deliver(l, f, Gap{Channel: f.Channel})
	case "join":
		c.subscriptions.deliver(l, f, Join{Channel: f.Channel, User: f.User, Session: f.Session, Info: f.Info})
	case "leave":
		c.subscriptions.deliver(l, f, Leave{Channel: f.Channel, User: f.User, Session: f.Session})
	case "presence_changed":
		c.subscriptions.deliver(l, f, PresenceChanged{Channel: f.Channel})
	case "subscribed":
		c.subscriptions.confirm(l, f)
	case "unsubscribed":
		c.subscriptions.unsubscribed(l, f)
	case "published", "presence", "history":
		c.calls.answer(f)
	case "error":
		err := &Error{Code: f.Code, Message: f.Message}
		if !c.subscriptions.refuse(l, f.ID, err) {
			c.calls.refuse(l, f.ID, err) // an error without id belongs to a command that nobody waits for
		}
	case "reconnect":
		l.move()
	}
}
