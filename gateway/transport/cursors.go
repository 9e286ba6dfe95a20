package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"tidegate/broker"
	"tidegate/gateway"
)

// cursors holds a client's position on each of its channels. Its text form is opaque to
// clients and safe in a URL:
//
//	one channel       epoch:offset, as in the native protocol; - for a channel without history
//	several channels  key~epoch:offset or key~- for each, sorted by key, separated by commas
//
// A key identifies a channel: the first 48 bits of the SHA-256 of its name, in base64url
// (RFC 4648, section 5). With full names, the text could exceed the length that proxies
// allow for a header.
type cursors struct {
	places []place // sorted by key
	recent int     // number of recent messages to send first on channels without a cursor
}

// place is a client's position on one channel.
type place struct {
	channel string
	key     string
	at      []byte // epoch:offset, or noPosition; empty if not known yet
	resumed bool   // whether the client gave the position
	top     []byte // after a loss, the position to use if no message follows; else empty
}

const (
	noPosition = "-"
	keyBytes   = 6
)

// parseCursors parses the text that append wrote, perhaps for other channels. It ignores
// the positions of channels that are not in the list.
func parseCursors(channels []string, text string) (cursors, error) {
	c := cursors{places: make([]place, len(channels))}
	for i, channel := range channels {
		c.places[i] = place{channel: channel, key: keyOf(channel)}
	}
	slices.SortFunc(c.places, func(a, b place) int { return strings.Compare(a.key, b.key) })
	if text == "" {
		return c, nil
	}
	if !strings.Contains(text, "~") {
		if len(channels) > 1 {
			return c, fail(gateway.BadRequest, "malformed cursor: it is one of a single channel, but several are asked for")
		}
		return c, c.places[0].resume(text)
	}
	for entry := range strings.SplitSeq(text, ",") {
		key, position, ok := strings.Cut(entry, "~")
		if !ok {
			return c, fail(gateway.BadRequest, "malformed cursor: %.64q has no position", entry)
		}
		if at := slices.IndexFunc(c.places, func(p place) bool { return p.key == key }); at >= 0 {
			if err := c.places[at].resume(position); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// parseEach parses one cursor for each channel, in the order of the channels. An empty text
// means that there is no cursor.
func parseEach(channels, texts []string) (cursors, error) {
	c, err := parseCursors(slices.Compact(slices.Sorted(slices.Values(channels))), "")
	if err != nil {
		return c, err
	}
	if len(texts) != len(channels) {
		return c, fail(gateway.BadRequest, "%d cursors for %d channels: give one over all, or one for each, in their order", len(texts), len(channels))
	}
	for i, text := range texts {
		if text == "" {
			continue
		}
		if err := c.of([]byte(channels[i])).resume(text); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (p *place) resume(position string) error {
	if _, err := broker.ParsePosition(position); position == "" || position != noPosition && err != nil {
		return fail(gateway.BadRequest, "malformed cursor %.64q: give it as an answer gave it", position)
	}
	p.at, p.resumed = []byte(position), true
	return nil
}

func keyOf(channel string) string {
	sum := sha256.Sum256([]byte(channel))
	return base64.RawURLEncoding.EncodeToString(sum[:keyBytes])
}

// hasPosition reports whether the client gave a position to resume from.
func (p *place) hasPosition() bool { return p.resumed && string(p.at) != noPosition }

// readsBack reports whether the client needs messages from the channel's history.
func (c *cursors) readsBack(p *place) bool { return p.hasPosition() || !p.resumed && c.recent > 0 }

// resumes returns the subscribe commands for the channels that read back.
func (c *cursors) resumes() (commands []gateway.Subscribe) {
	for i := range c.places {
		if p := &c.places[i]; c.readsBack(p) {
			commands = append(commands, gateway.Subscribe{Channel: p.channel, Cursor: string(p.at), Recent: c.recent})
		}
	}
	return commands
}

// of returns the place of a channel, or nil.
func (c *cursors) of(channel []byte) *place {
	for i := range c.places {
		if string(channel) == c.places[i].channel {
			return &c.places[i]
		}
	}
	return nil
}

// append appends the text form to b. It leaves out positions that are not known yet.
func (c *cursors) append(b []byte) []byte {
	if len(c.places) == 1 {
		return append(b, c.places[0].at...)
	}
	begin := len(b)
	for i := range c.places {
		p := &c.places[i]
		if len(p.at) == 0 {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(b, p.key...)
		b = append(b, '~')
		b = append(b, p.at...)
	}
	return b
}

// complete reports whether all positions are known.
func (c *cursors) complete() bool {
	return !slices.ContainsFunc(c.places, func(p place) bool { return len(p.at) == 0 })
}

// note updates the positions from a notice. It returns false if the notice is of a channel
// that the client did not ask for.
func (c *cursors) note(n notice) bool {
	if n.kind == remark {
		return true
	}
	if n.kind == caughtUp {
		c.adoptTops()
		return true
	}
	p := c.of(n.channel)
	if p == nil {
		return false
	}
	switch n.kind {
	case message:
		if len(n.position) > 0 {
			p.at, p.top = append(p.at[:0], n.position...), nil
		}
	case joined:
		p.at = append(p.at[:0], n.position...)
		if len(n.position) == 0 {
			p.at = append(p.at, noPosition...)
		}
	case lost:
		p.top = bytes.Clone(n.position)
		if len(n.position) == 0 {
			p.top = []byte(noPosition)
		}
	}
	return true
}

// adoptTops moves the position to the top on channels that lost messages and received none
// since. It is called when all channels have caught up.
func (c *cursors) adoptTops() {
	for i := range c.places {
		if p := &c.places[i]; len(p.top) > 0 {
			p.at, p.top = p.top, nil
		}
	}
}
