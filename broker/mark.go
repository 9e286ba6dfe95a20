package broker

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// markOf returns the mark that the envelopes have which are published at the Redis
// process with a run_id. It takes the right to ask Redis who it is to know it: an
// envelope without it may be a text of somebody's that a backend has published as it is.
// Where Redis cannot be asked there is none, "". The append script computes the same.
func markOf(runID string) string {
	if runID == "" {
		return ""
	}
	sum := sha1.Sum([]byte("tidegate mark " + runID))
	return hex.EncodeToString(sum[:markLength/2])
}

const markLength = 16

// unmarked begins an envelope whose mark is still to be set.
const unmarked = envelopeStart + `{"mark":"----------------"`

// appendUnmarked is AppendEnvelope for an envelope that setMark completes.
func appendUnmarked(dst []byte, m Message) []byte {
	dst = append(dst, unmarked+","...)
	dst = appendFields(dst, m)
	dst = append(dst, "}\n"...)
	return append(dst, m.Payload...)
}

// setMark sets the mark of what appendUnmarked has begun; again, if it is for another
// process.
func setMark(envelope []byte, mark string) {
	copy(envelope[len(unmarked)-len(`"`)-markLength:], mark)
}

// decodePublished reads what was published in Redis on a channel, at a process with a
// mark. Of an envelope that lacks it only what a bare payload may have is believed. Names
// with a space are no channels: only gateways publish there.
func decodePublished(channel, data, mark string) Message {
	m, said := decodeEnvelope(channel, data)
	if said != mark && mark != "" && !strings.Contains(channel, " ") {
		return m.Bare()
	}
	return m
}
