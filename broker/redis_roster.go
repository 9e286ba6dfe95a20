package broker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field returns the field of the member in a channel's hash.
func (m *Member) field() string {
	if m.Session != "" {
		return "-" + m.Session
	}
	return "+" + m.User
}

// decodeRoster decodes a channel's hash, given as alternating fields and values.
func decodeRoster(fields []string) (roster Roster, err error) {
	roster.Members = make([]Member, 0, len(fields)/2)
	for pair := range slices.Chunk(fields, 2) {
		switch field, value := pair[0], pair[len(pair)-1]; {
		case field == "epoch":
			roster.Position.Epoch = value
		case field == "top":
			roster.Position.Offset, err = strconv.ParseUint(value, 10, 64)
		case field == "sessions":
			roster.Sessions, err = strconv.Atoi(value)
		case strings.HasPrefix(field, "+"), strings.HasPrefix(field, "-"):
			var m Member
			m, err = decodeMember(field, value)
			roster.Members = append(roster.Members, m)
		}
		if err != nil {
			return Roster{}, err
		}
	}
	slices.SortFunc(roster.Members, byName)
	return roster, nil
}

// byName compares members in the order of a Roster.
func byName(a, b Member) int {
	return cmp.Or(strings.Compare(a.User, b.User), strings.Compare(a.Session, b.Session))
}

func decodeMember(field, text string) (Member, error) {
	var entry struct {
		Info      string
		Elsewhere string
		User      string
		Nodes     map[string]int
	}
	if err := json.Unmarshal([]byte(text), &entry); err != nil {
		return Member{}, fmt.Errorf("presence of %q: %w", field, err)
	}
	m := Member{User: field[1:], Info: orNone(entry.Info), Elsewhere: orNone(entry.Elsewhere)}
	if field[0] == '-' {
		m.Session, m.User = field[1:], entry.User
	}
	for _, sessions := range entry.Nodes {
		m.Sessions += sessions
	}
	return m, nil
}

func orNone(info string) json.RawMessage {
	if info == "" {
		return nil
	}
	return json.RawMessage(info)
}
