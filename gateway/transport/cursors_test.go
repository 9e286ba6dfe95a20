package transport

import "testing"

// A message may arrive on one channel before another channel is joined. The cursor of that
// message must be valid, too.
func TestCursors_APlaceThatIsNotKnownYetIsLeftOut(t *testing.T) {
	channels := []string{"news", "sport"}
	c, err := parseCursors(channels, "")
	must(t, err)
	c.note(notice{kind: joined, channel: []byte("news"), position: []byte("k3x9:4")})
	c.note(notice{kind: message, channel: []byte("news"), position: []byte("k3x9:5")})
	again, err := parseCursors(channels, string(c.append(nil)))
	must(t, err)
	if p := again.of([]byte("news")); !p.resumed || string(p.at) != "k3x9:5" {
		t.Errorf("news is resumed: %v, at %q", p.resumed, p.at)
	}
	if p := again.of([]byte("sport")); p.resumed {
		t.Errorf("sport is resumed at %q", p.at)
	}
}
