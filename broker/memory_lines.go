package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memoryLines holds what changes of presence cause: notices, and messages on
// PresenceChannels.
type memoryLines struct {
	// Guarded by the mu of memoryPresence.
	now       time.Time
	lines     map[string]*memoryLine
	noticed   uint64    // number of notices so far
	published []Message // to be delivered
}

// memoryLine is the line of notices for one backend.
type memoryLine struct {
	used    time.Time // when the last notice came
	notices []Notice
	dropped int
	teller  string
	until   time.Time // end of the teller's lease
}

// postNotice announces a join or a leave: by a notice and a message.
func (l *memoryLines) postNotice(by Attendant, c *memoryRoom, event string, m *memoryMember) {
	sessions := IsSessionsChannel(c.name)
	switch {
	case event == EventLeave:
		l.notify(by, c, "m", NoticeLeft, m.Member)
	case !sessions:
		l.notify(by, c, "m", NoticeJoined, m.Member)
	}
	if sessions {
		return
	}
	c.position.Offset++
	message := Message{Channel: PresenceChannel(c.name), Event: event, User: m.User, Session: m.Session, Position: c.position}
	if event == EventJoin {
		message.Payload, message.Elsewhere = m.Info, m.Elsewhere
	}
	l.published = append(l.published, message)
}

func (l *memoryLines) tellCount(by Attendant, c *memoryRoom, before, sessions int) {
	if before != sessions {
		l.notify(by, c, "n", NoticeCounted, Member{})
	}
}

// notify appends a notice to the lines that want it.
func (l *memoryLines) notify(by Attendant, c *memoryRoom, letter, event string, m Member) {
	for told := range strings.FieldsSeq(strings.TrimPrefix(by.letters(c.name), "s")) {
		name, letters, _ := strings.Cut(told, "=")
		if !strings.Contains(letters, letter) {
			continue
		}
		line := l.line(name)
		if len(line.notices) >= by.room() {
			line.notices = line.notices[1:]
			line.dropped++
		}
		l.append(line, Notice{Event: event, Channel: c.name, User: m.User, Session: m.Session, Info: m.Info, Sessions: c.sessions()})
	}
}

func (l *memoryLines) line(name string) *memoryLine {
	line := l.lines[name]
	if line == nil {
		line = &memoryLine{used: l.now}
		l.lines[name] = line
	}
	return line
}

// forgetLines removes named lines that have had no new notice for a week.
func (l *memoryLines) forgetLines() {
	maps.DeleteFunc(l.lines, func(name string, line *memoryLine) bool {
		return name != "" && l.now.Sub(line.used) >= lineWeek
	})
}

func (l *memoryLines) append(line *memoryLine, n Notice) {
	l.noticed++
	n.ID, n.Time = strconv.FormatInt(l.now.UnixMilli(), 10)+"-"+strconv.FormatUint(l.noticed, 10), l.now
	line.notices, line.used = append(line.notices, n), l.now
}

func (l *memoryLines) take(t Teller) Line {
	line := l.line(t.Line)
	if line.teller != "" && line.teller != t.Node && line.until.After(l.now) {
		return Line{Holder: line.teller}
	}
	line.removeDelivered(t.Delivered)
	if t.Lease <= 0 {
		line.teller = ""
		return Line{}
	}
	line.teller, line.until = t.Node, l.now.Add(t.Lease)
	taken := Line{Notices: slices.Clone(line.notices[:min(len(line.notices), max(t.Most, 1))]), Dropped: line.dropped}
	line.dropped = 0
	return taken
}

// removeDelivered removes all notices up to the last delivered one, if that is still in
// line.
func (l *memoryLine) removeDelivered(ids []string) {
	if len(ids) == 0 {
		return
	}
	last := slices.IndexFunc(l.notices, func(n Notice) bool { return n.ID == ids[len(ids)-1] })
	l.notices = slices.Delete(l.notices, 0, last+1)
}

const lineWeek = 7 * 24 * time.Hour
