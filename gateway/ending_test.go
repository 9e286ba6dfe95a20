package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSessions_EndedSessionIsNotCountedForItsUser(t *testing.T) {
	for name, end := range map[string]func(*sessions, *Session) error{
		"before it had a user": func(r *sessions, s *Session) error {
			r.remove(s)
			if r.identify(s, "alice", 1) == nil {
				return errors.New("an ended session got a user")
			}
			return nil
		},
		"while it got one": func(r *sessions, s *Session) error {
			err := r.identify(s, "alice", 1)
			r.remove(s) // the session's principal is not alice yet
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSessions(1)
			ended, next := &Session{id: "ended", principal: &Principal{}}, &Session{id: "next", principal: &Principal{}}
			for _, s := range []*Session{ended, next} {
				if err := r.add(s, &Limits{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := end(r, ended); err != nil {
				t.Error(err)
			}
			if err := r.identify(next, "alice", 1); err != nil {
				t.Errorf("alice's only session: %v", err)
			}
		})
	}
}

func TestReason_TextIsCutBetweenCharacters(t *testing.T) {
	for _, text := range []string{strings.Repeat("ä", 100), "x" + strings.Repeat("ä", 100), "\xff" + strings.Repeat("a", 200)} {
		got := Policy.With(text).Text
		if !utf8.ValidString(got) || len(got) > MaxReasonText || len(got) < MaxReasonText-utf8.UTFMax {
			t.Errorf("%.20q became %q, %d bytes", text, got, len(got))
		}
	}
}

func TestErrorOf_ClientThatLeftIsNoInternalError(t *testing.T) {
	err := fmt.Errorf("resume: %w", context.Canceled)
	if code := ErrorOf(err).Code; code != Unavailable {
		t.Errorf("%v is %q", err, code)
	}
}

func TestReason_IsTheSameWhateverItsText(t *testing.T) {
	worded := fmt.Errorf("write: %w", Missed.With("some are gone"))
	if !errors.Is(worded, Missed) || errors.Is(worded, Lost) || TimedOut.Is(Draining) || NotConfirmed.Is(Overloaded) {
		t.Error("reasons are told apart by something else than what they are")
	}
}
