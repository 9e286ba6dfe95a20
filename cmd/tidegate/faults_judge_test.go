package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// finding is the result of comparing a log with what was published.
type finding struct {
	lost   int            // messages that were never received
	told   map[string]int // how often the witness knew of a gap, by the way it did
	gaps   int            // of these, the gaps that the gateway reported
	vain   int            // of these, the gaps at which nothing was lost or repeated
	silent int            // places where messages are missing without a gap
	twice  int            // places where messages are repeated without a gap
	wrong  string         // the first violation of the promise; empty if none
}

// judge compares the log with a stream at rest. If the promise is each message once and in
// order, both must be equal. Otherwise, wherever the next new message is missing or an old
// one is repeated, the witness must have been told of a gap: after the last new message; or
// before the next such place, because the gap may arrive after messages in flight; or at
// any time after the missing message was confirmed, because what a history still has
// follows the gap. Messages that were never confirmed do not matter.
func (w *witness) judge(s *stream, p promise) finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := finding{told: make(map[string]int)}
	last := int(s.last.Load())
	heardOf := make(map[int]bool)
	newest := w.begun
	var told []string              // gaps since the newest message
	var word time.Time             // time of the last gap
	var broken hole                // a hole that the witness has not been told of
	late, repeated := false, false // told is about an earlier hole; old messages have arrived since the newest
	for _, h := range append(slices.Clone(w.log), heard{number: last + 1}) {
		next := hole{newest, h.number}
		switch {
		case h.gap != "":
			v.told[h.gap]++
			told, late, broken, word = append(told, h.gap), late || broken != hole{}, hole{}, h.at
			continue
		case s.unsure[h.number]:
			continue
		case repeated && h.number <= newest:
			heardOf[h.number] = true
			continue
		case h.number == s.after(newest):
			if !late && !repeated {
				v.vain += countGaps(told)
			}
		case p == whole || p == once:
			v.blame(next)
		default:
			v.blame(broken)
			if broken = next; len(told) > 0 || s.covers(word, next) {
				broken = hole{}
			}
		}
		heardOf[h.number] = true
		if repeated = h.number <= newest; !repeated {
			newest, told, late = h.number, nil, false
		}
	}
	v.blame(broken)
	if p == whole && len(v.told) > 0 {
		v.note(fmt.Sprintf("a gap was told: %v", v.told))
	}
	for how, times := range v.told {
		if isGap(how) {
			v.gaps += times
		}
	}
	for number := s.after(w.begun); number <= last; number = s.after(number) {
		if !heardOf[number] {
			v.lost++
		}
	}
	return v
}

// after returns the next number that was confirmed.
func (s *stream) after(number int) int {
	number++
	for s.unsure[number] {
		number++
	}
	return number
}

// covers reports whether the messages missing in a hole were confirmed before the time of a gap.
func (s *stream) covers(told time.Time, h hole) bool {
	confirmed, known := s.confirmed[h.after-1]
	return known && h.before < h.after && told.After(confirmed)
}

// hole is a pair of numbers received one after the other that are not consecutive.
type hole struct{ before, after int }

func (v *finding) blame(h hole) {
	switch {
	case h == hole{}:
		return
	case h.after > h.before:
		v.silent++
	default:
		v.twice++
	}
	v.note(fmt.Sprintf("after message %d came %d, and nothing said so", h.before, h.after))
}

func (v *finding) note(wrong string) {
	if v.wrong == "" {
		v.wrong = wrong
	}
}

// isGap reports whether the gateway reported a gap; otherwise the connection ended.
func isGap(how string) bool { return how == "gap" || strings.Contains(how, "4010") }

func countGaps(told []string) (n int) {
	for _, how := range told {
		if isGap(how) {
			n++
		}
	}
	return n
}
