package attendance

import (
	"bytes"
	"encoding/json"
)

// Who is who is on a channel: a member is a user or, where Session is set, one
// session. The zero Who is no member, and only counted.
type Who struct {
	User    string
	Session string
	Info    json.RawMessage // shown with a member; nil: none

	Elsewhere json.RawMessage // as in broker.Message
}

// Equal reports whether both are the same, and shown in the same way.
func (w *Who) Equal(o *Who) bool {
	return w.User == o.User && w.Session == o.Session && bytes.Equal(w.Info, o.Info) && bytes.Equal(w.Elsewhere, o.Elsewhere)
}

func (w *Who) isMember() bool { return w.User != "" || w.Session != "" }

// name is what a member is known by. No user's is a session's.
func (w *Who) name() string {
	if w.Session != "" {
		return "-" + w.Session
	}
	return "+" + w.User
}
