package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tidegate/broker"
)

// utterance is a message as its publisher sends it.
type utterance struct {
	kind           broker.Kind
	payload, event string
}

// speaker is a row of the table in gateway/README.md, or one of several that share it.
type speaker struct {
	name string
	can  []utterance
	say  func(utterance)
}

// hearer is a column of the table.
type hearer struct {
	name string
	hear func() string                                 // blocks until the next message and returns it without the parts that always vary
	want func(cell string, m utterance) (string, bool) // the expected message; false if the cell cannot be true
}

// Every cell of the table "published by x, heard by y" in gateway/README.md is tested: the publishers are on
// one node, the subscribers on the other, and what they receive is exactly what the cell says.
func TestReadme_EveryCellIsHeard(t *testing.T) {
	t.Parallel()
	c := newOneChannel(t)
	speakers, hearers := c.speakers(), c.hearers()
	cells, rows, columns := readmeTable(t, "published by")
	if names := namesOf(speakers, func(s speaker) string { return s.name }); !slices.Equal(rows, names) {
		t.Fatalf("the README's rows are %q, want %q", rows, names)
	}
	if names := namesOf(hearers, func(h hearer) string { return h.name }); !slices.Equal(columns, names) {
		t.Fatalf("the README's columns are %q, want %q", columns, names)
	}
	for _, s := range speakers {
		for _, m := range s.can {
			c.ask()
			s.say(m)
			for _, h := range hearers {
				cell := cells[[2]string{s.name, h.name}]
				want, sayable := h.want(cell, m)
				if got := h.hear(); !sayable || got != want {
					t.Errorf("%s says %q to %s, which the README says hears %q: it hears\n%q, want\n%q", s.name, m.payload, h.name, cell, got, want)
				}
			}
		}
	}
}

func namesOf[T any](list []T, name func(T) string) (names []string) {
	for _, one := range list {
		names = append(names, name(one))
	}
	return names
}

// readmeTable parses the table with the given first heading. Rows and columns have the
// names in their headings; if a heading has several names, each of them is a key.
func readmeTable(t *testing.T, heading string) (cells map[[2]string]string, rows, columns []string) {
	t.Helper()
	content, err := os.ReadFile(repository + "/gateway/README.md")
	must(t, err)
	_, text, _ := strings.Cut(string(content), "\n| "+heading+" | ")
	text, _, _ = strings.Cut(text, "\n\n")
	lines := strings.Split(text, "\n")
	headings := strings.Split(strings.TrimSuffix(lines[0], " |"), " | ")
	for _, heading := range headings {
		columns = append(columns, strings.Split(heading, ", ")...)
	}
	cells = map[[2]string]string{}
	for _, line := range lines[min(2, len(lines)):] {
		parts := strings.Split(strings.Trim(line, "| "), " | ")
		if len(parts) != len(headings)+1 {
			t.Fatalf("%q has %d cells, want %d", line, len(parts), len(headings)+1)
		}
		for row := range strings.SplitSeq(parts[0], ", ") {
			rows = append(rows, row)
			for i, heading := range headings {
				for column := range strings.SplitSeq(heading, ", ") {
					cells[[2]string{row, column}] = parts[i+1]
				}
			}
		}
	}
	return cells, rows, columns
}

// wantObject returns the expected message for clients that receive objects of the native
// protocol. For the others, see below.
func wantObject(cell string, m utterance) (string, bool) {
	fields := map[string]any{"channel": everyRoom}
	switch kind := broker.KindOf([]byte(m.payload)); {
	case cell == "not kept":
		return "", true
	case kind == broker.Binary:
		fields["binary"] = []byte(m.payload)
	case kind == broker.Text || strings.HasPrefix(cell, "`text`"):
		fields["text"] = m.payload
	default:
		fields["data"] = json.RawMessage(m.payload)
	}
	if strings.HasSuffix(cell, ", `event`") {
		fields["event"] = m.event
	}
	return inOrder(fields), isOneOf(cell, "`data`", "`text`", "`data`, `event`")
}

func wantFrame(cell string, m utterance) (string, bool) {
	if broker.KindOf([]byte(m.payload)) == broker.Binary {
		return "binary " + m.payload, cell == "a frame"
	}
	return "text " + m.payload, cell == "a frame"
}

func wantPusher(cell string, m utterance) (string, bool) {
	event, named := strings.CutPrefix(strings.TrimSuffix(cell, "`"), "event `")
	return inOrder(map[string]any{"channel": everyRoom, "event": event, "data": readable(m.payload)}), named
}

func wantCentrifuge(cell string, m utterance) (string, bool) {
	publication := map[string]any{"data": readable(m.payload)}
	if broker.KindOf([]byte(m.payload)) == broker.JSON && cell != "`data`, a string" {
		publication["data"] = json.RawMessage(m.payload)
	}
	if strings.HasSuffix(cell, ", tag `event`") {
		publication["tags"] = map[string]string{"event": m.event}
	}
	return inOrder(publication), isOneOf(cell, "`data`", "`data`, a string", "`data`, tag `event`")
}

func wantEvent(cell string, m utterance) (string, bool) {
	want := "data: " + readable(m.payload) + "\n"
	if cell == "`data:`, `event:`" {
		want = "event: " + m.event + "\n" + want
	}
	return want, isOneOf(cell, "`data:`", "`data:`, `event:`")
}

func wantInRedis(cell string, m utterance) (string, bool) {
	if cell == "payload" {
		return m.payload, true
	}
	header := map[string]any{"kind": m.kind.String()}
	if m.event != "" {
		header["event"] = m.event
	}
	if strings.HasPrefix(m.event, "client-") {
		header["transient"] = true
	}
	return "TG1 " + inOrder(header) + "\n" + m.payload, cell == "header, payload"
}

func isOneOf(cell string, words ...string) bool { return slices.Contains(words, cell) }

// readable returns a payload in the form that a text protocol has.
func readable(payload string) string {
	if broker.KindOf([]byte(payload)) == broker.Binary {
		return base64.StdEncoding.EncodeToString([]byte(payload))
	}
	return payload
}

// inOrder returns an object with its fields sorted, without those in except.
func inOrder(object map[string]any, except ...string) string {
	for _, name := range except {
		delete(object, name)
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(encoded)
}
