package broker

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

var _ Notices = (*Memory)(nil)

// Put is documented at Notices.
func (b *Memory) Put(ctx context.Context, by Attendant, list []Notice) ([]bool, error) {
	inLine := make([]bool, len(list))
	err := b.onPresence(ctx, "put notices in line", func(p *memoryPresence) {
		for i, n := range list {
			inLine[i] = true
			line := p.line(n.Line)
			told, key := "told "+n.Line+" "+n.Channel, ""
			if n.Message != nil {
				key = n.Message.Key
			}
			if _, repeated := b.keys.position(told, key, p.now); repeated {
				continue
			}
			if len(line.notices) >= by.roomFor(&n) {
				line.dropped++
				continue
			}
			b.keys.remember(told, key, Position{}, p.now)
			n.Line, n.Sessions = "", 0
			p.append(line, n)
		}
	})
	return inLine, err
}

// Take is documented at Notices.
func (b *Memory) Take(ctx context.Context, t Teller) (Line, error) {
	var line Line
	err := b.onPresence(ctx, "take notices", func(p *memoryPresence) { line = p.take(t) })
	return line, err
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
func (p *memoryPresence) postNotice(by Attendant, c *memoryRoom, event string, m *memoryMember) {
	sessions := IsSessionsChannel(c.name)
	switch {
	case event == EventLeave:
		p.notify(by, c, "m", NoticeLeft, m.Member)
	case !sessions:
		p.notify(by, c, "m", NoticeJoined, m.Member)
	}
	if sessions {
		return
	}
	c.position.Offset++
	message := Message{Channel: PresenceChannel(c.name), Event: event, User: m.User, Session: m.Session, Position: c.position}
	if event == EventJoin {
		message.Payload, message.Elsewhere = m.Info, m.Elsewhere
	}
	p.published = append(p.published, message)
}

func (p *memoryPresence) tellCount(by Attendant, c *memoryRoom, before, sessions int) {
	if before != sessions {
		p.notify(by, c, "n", NoticeCounted, Member{})
	}
}

// notify puts a notice in the lines that are told of it.
func (p *memoryPresence) notify(by Attendant, c *memoryRoom, letter, event string, m Member) {
	for told := range strings.FieldsSeq(strings.TrimPrefix(by.letters(c.name), "s")) {
		name, letters, _ := strings.Cut(told, "=")
		if !strings.Contains(letters, letter) {
			continue
		}
		line := p.line(name)
		if len(line.notices) >= by.room() {
			line.notices = line.notices[1:]
			line.dropped++
		}
		p.append(line, Notice{Event: event, Channel: c.name, User: m.User, Session: m.Session, Info: m.Info, Sessions: c.sessions()})
	}
}

func (p *memoryPresence) line(name string) *memoryLine {
	line := p.lines[name]
	if line == nil {
		line = &memoryLine{used: p.now}
		p.lines[name] = line
	}
	return line
}

// forgetLines removes those with a name for which nothing has come for a week.
func (p *memoryPresence) forgetLines() {
	maps.DeleteFunc(p.lines, func(name string, line *memoryLine) bool {
		return name != "" && p.now.Sub(line.used) >= lineWeek
	})
}

func (p *memoryPresence) append(line *memoryLine, n Notice) {
	p.noticed++
	n.ID, n.Time = strconv.FormatInt(p.now.UnixMilli(), 10)+"-"+strconv.FormatUint(p.noticed, 10), p.now
	line.notices, line.used = append(line.notices, n), p.now
}

func (p *memoryPresence) take(t Teller) Line {
	line := p.line(t.Line)
	if line.teller != "" && line.teller != t.Node && line.until.After(p.now) {
		return Line{Holder: line.teller}
	}
	line.removeDelivered(t.Delivered)
	if t.Lease <= 0 {
		line.teller = ""
		return Line{}
	}
	line.teller, line.until = t.Node, p.now.Add(t.Lease)
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
