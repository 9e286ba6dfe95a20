package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memoryLines are what follows from what happens to presence.
type memoryLines struct {
	// Guarded by the presence's mu.
	now       time.Time
	lines     map[string]*memoryLine
	noticed   uint64    // notices, so far
	published []Message // that are to be received
}

// memoryLine is what a backend is to be told.
type memoryLine struct {
	used    time.Time // when something came last
	notices []Notice
	dropped int
	teller  string
	until   time.Time // the teller's lease
}

// postNotice tells of a join or a leave.
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

// notify puts a notice in the lines that are told of it.
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

// forgetLines removes those with a name for which nothing has come for a week.
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

// removeDelivered removes notices up to the last that was delivered, if it is still
// in line.
func (l *memoryLine) removeDelivered(ids []string) {
	if len(ids) == 0 {
		return
	}
	last := slices.IndexFunc(l.notices, func(n Notice) bool { return n.ID == ids[len(ids)-1] })
	l.notices = slices.Delete(l.notices, 0, last+1)
}

const lineWeek = 7 * 24 * time.Hour
