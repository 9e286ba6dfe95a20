package broker

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// markOf returns the mark of envelopes that are published at the Redis process with the
// given run_id. Only a client that may ask Redis for its run_id can compute the mark: an
// envelope without it may be a user's text that a backend has published unchanged. If Redis
// cannot be asked, runID and the mark are "". The append script computes the same.
func markOf(runID string) string {
	if runID == "" {
		return ""
	}
	sum := sha1.Sum([]byte("tidegate mark " + runID))
	return hex.EncodeToString(sum[:markLength/2])
}

const markLength = 16

// unmarked is the beginning of an envelope whose mark is not set yet.
const unmarked = envelopeStart + `{"mark":"----------------"`

// appendUnmarked is like AppendEnvelope, but leaves the mark to setMark.
func appendUnmarked(dst []byte, m Message) []byte {
	dst = append(dst, unmarked+","...)
	dst = appendFields(dst, m)
	dst = append(dst, "}\n"...)
	return append(dst, m.Payload...)
}

// setMark sets the mark of an envelope that appendUnmarked made. It may be called again,
// for another process.
func setMark(envelope []byte, mark string) {
	copy(envelope[len(unmarked)-len(`"`)-markLength:], mark)
}

// decodePublished decodes data published on a channel at a Redis process with the given
// mark. If the envelope lacks the mark, only what a bare message may have is believed; other
// reports whether it has another one, be it forged or that of another process. Envelopes on
// names with a space need no mark: those are no channels, and only gateways publish there.
func decodePublished(channel, data, mark string) (m Message, other bool) {
	m, said := decodeEnvelope(channel, data)
	if said != mark && mark != "" && !strings.Contains(channel, " ") {
		return m.Bare(), said != ""
	}
	return m, false
}
