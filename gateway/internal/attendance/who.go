package attendance

import (
	"bytes"
	"encoding/json"
)

// Who is a member of a channel: a user, or a single session if Session is set. The zero Who
// is not a member and is only counted.
type Who struct {
	User    string
	Session string
	Info    json.RawMessage // shown to others with the member; may be nil

	Elsewhere json.RawMessage // as in broker.Message
}

// Equal reports whether both are the same member with the same Info and Elsewhere.
func (w *Who) Equal(o *Who) bool {
	return w.Is(o) && bytes.Equal(w.Info, o.Info) && bytes.Equal(w.Elsewhere, o.Elsewhere)
}

// name returns the key of a member. The prefix keeps users and sessions apart.
func (w *Who) name() string {
	if w.Session != "" {
		return "-" + w.Session
	}
	return "+" + w.User
}
