package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"tidegate/broker/brokertest"
)

// mutant is a proxy to a node that simulates a broken one by changing the events
// that the node sends.
type mutant struct {
	http.RoundTripper
	does func(n int, event []byte) []byte // changes the n-th event that is a message or a gap
}

func (m *mutant) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := m.RoundTripper.RoundTrip(r)
	if err != nil || r.URL.Path != "/events" {
		return response, err
	}
	node := response.Body
	client, out := io.Pipe()
	go func() {
		defer node.Close()
		n := 0
		events := bufio.NewScanner(node)
		events.Split(splitEvents)
		for events.Scan() {
			event := events.Bytes()
			if bytes.Contains(event, []byte("data:")) {
				n++
				event = m.does(n, event)
			}
			if _, err := out.Write(event); err != nil {
				return
			}
		}
		out.CloseWithError(io.EOF)
	}()
	response.Body = client
	return response, nil
}

// splitEvents splits a stream of Server-Sent Events after empty lines.
func splitEvents(data []byte, _ bool) (advance int, event []byte, err error) {
	if end := bytes.Index(data, []byte("\n\n")); end >= 0 {
		return end + 2, data[:end+2], nil
	}
	return 0, nil, nil
}

// This tests the checker: it must report nodes that lose, repeat or hide messages, and no others.
func TestFaults_TheCheckerFindsMutants(t *testing.T) {
	brokertest.RequireRedis(t)
	mutants := []struct {
		name    string
		does    func(n int, event []byte) []byte
		strike  func(*trial)
		channel string
		found   func(finding) bool
	}{
		{"sound", same, killSubscribers, "live:0", func(f finding) bool { return f.wrong == "" && f.gaps > 0 }},
		{"loses", on(10, nothing), nil, "kept:0", func(f finding) bool { return f.silent == 1 && f.lost == 1 && f.twice == 0 }},
		{"repeats", on(10, doubled), nil, "kept:0", func(f finding) bool { return f.twice == 1 && f.silent == 0 && f.lost == 0 }},
		{"hides a gap", hide, killSubscribers, "live:0", func(f finding) bool { return f.silent > 0 && f.gaps == 0 }},
		{"tells of a gap that is none", on(10, withGap), nil, "kept:0", func(f finding) bool { return f.wrong == "" && f.vain == 1 }},
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			tr := onRedis(t)
			s := newStream(m.channel, strings.HasPrefix(m.channel, "kept"), publishEvery)
			tr.streams = []*stream{s}
			w := newWitness("sse", s, "http://gateway", &http.Client{Transport: &mutant{tr.reaching(0).Transport, m.does}})
			tr.witness(w)
			tr.publish(tr.throughNative)
			if m.strike != nil {
				for found := tr.judgeHeld(w, s); found.gaps+found.silent == 0; found = tr.judgeHeld(w, s) {
					m.strike(tr) // until a message is lost
					tr.flows(5)
				}
			}
			tr.flows(20)
			if found := tr.judgeHeld(w, s); !m.found(found) {
				t.Errorf("the checker says %+v", found)
			}
		})
	}
}

// judgeHeld judges what a witness has received, while nothing is published.
func (tr *trial) judgeHeld(w *witness, s *stream) finding {
	s.turn.Lock()
	defer s.turn.Unlock()
	tr.allHave(s)
	return w.judge(s, told)
}

func same(_ int, event []byte) []byte { return event }

func nothing([]byte) []byte { return nil }

func doubled(event []byte) []byte { return append(bytes.Clone(event), event...) }

func withGap(event []byte) []byte { return append([]byte("event: gap\ndata: {}\n\n"), event...) }

func hide(_ int, event []byte) []byte {
	if bytes.Contains(event, []byte("event: gap")) {
		return nil
	}
	return event
}

// on calls what only for the n-th event.
func on(n int, what func([]byte) []byte) func(int, []byte) []byte {
	return func(k int, event []byte) []byte {
		if k == n {
			return what(event)
		}
		return event
	}
}
