package attendance

import (
	"context"
	"slices"
	"sync"

	"tidegate/broker"
)

// Bounds of the notices that wait on this node or are on their way into a line.
const (
	mostPosts     = 10_000
	mostPostBytes = 16 << 20
)

// SetLines replaces the lines. Notices in a line that is no longer listed stay there for a while.
func (a *Attendance) SetLines(lines []Line) {
	a.mu.Lock()
	a.lines = slices.Clone(lines)
	a.hurried = true
	a.mu.Unlock()
	rouse(a.wake)
}

// Post appends a notice to its line, after everything that happened earlier on its channel
// on this node. It does not wait for the broker. Notices are lost if the node dies before
// they are in the line, or if the broker cannot be reached for so long that no room is left.
func (a *Attendance) Post(n broker.Notice) {
	a.mu.Lock()
	full := len(a.toPut.list) >= mostPosts || a.toPut.bytes+sizeOf(&n) > mostPostBytes
	if full {
		a.noRoom++
	} else {
		a.toPut.add(n)
	}
	a.mu.Unlock()
	if full {
		a.config.Dropped(1)
	}
	rouse(a.wake)
}

// logDropped logs how many posts were dropped since it was last called.
func (a *Attendance) logDropped() {
	a.mu.Lock()
	dropped := a.noRoom
	a.noRoom = 0
	a.mu.Unlock()
	if dropped > 0 {
		a.config.Log.Error("notices for the webhook's backend found no room on the node, as the broker does not take them fast enough", "dropped", dropped)
	}
}

// put moves the posted notices into their lines and returns how many it has tried to move.
// Those that did not get there are kept.
func (a *Attendance) put(ctx context.Context) (int, error) {
	due, at := a.due()
	if len(due) == 0 {
		return 0, nil
	}
	inLine, err := a.config.Presence.Put(ctx, a.by, due)
	a.mu.Lock()
	a.noPut = err != nil
	a.toPut.remove(at, inLine)
	a.mu.Unlock()
	for i := range due {
		if inLine[i] {
			a.rouseLine(due[i].Line)
		}
	}
	return len(due), err
}

// due returns the posts to be put into lines now, and where they are in toPut. Not due are
// those of channels that have changed without the broker being told.
func (a *Attendance) due() (list []broker.Notice, at []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.noPut {
		return nil, nil
	}
	for i := range a.toPut.list {
		n := &a.toPut.list[i]
		if s := a.stays[n.Channel]; s == nil || !s.aside {
			list, at = append(list, *n), append(at, i)
		}
	}
	return list, at
}

// RouseTeller is called when another node has put a notice into the line.
func (a *Attendance) RouseTeller(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tellers[line]; t != nil {
		rouse(t.roused)
	}
}

// rouseLine is called when this node has put a notice into the line.
func (a *Attendance) rouseLine(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tellers[line]; t != nil {
		rouse(t.changed)
	}
}

// rouseLines is called when this node may have put notices about the given channels into lines;
// nil stands for all channels.
func (a *Attendance) rouseLines(channels []broker.Attendance) {
	for i := range a.by.Wants {
		w := &a.by.Wants[i]
		if w.Of == nil || channels == nil || slices.ContainsFunc(channels, func(c broker.Attendance) bool { return w.Of(c.Channel) }) {
			a.rouseLine(w.Line)
		}
	}
}

// tend makes this node state to the broker what the lines want now. It starts a teller for each
// new line and stops those of removed lines. Tellers run until ctx ends.
func (a *Attendance) tend(ctx context.Context, working *sync.WaitGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, t := range a.tellers {
		if a.line(name) == nil {
			t.stop(errLineGone)
			delete(a.tellers, name)
		}
	}
	a.by.Wants = make([]broker.Wants, len(a.lines))
	for i, line := range a.lines {
		a.by.Wants[i] = line.Wants
		name := line.Wants.Line
		if a.tellers[name] != nil {
			continue
		}
		telling, stop := context.WithCancelCause(ctx)
		t := &teller{
			line: name, config: &a.config, stop: stop, most: noticeBatch,
			tell:    func(ctx context.Context, list []broker.Notice) error { return a.deliver(ctx, name, list) },
			changed: make(chan struct{}, 1), roused: make(chan struct{}, 1),
		}
		a.tellers[name] = t
		working.Go(func() { t.run(telling) })
	}
}

// line returns the line of that name, or nil. The caller must hold mu.
func (a *Attendance) line(name string) *Line {
	at := slices.IndexFunc(a.lines, func(l Line) bool { return l.Wants.Line == name })
	if at < 0 {
		return nil
	}
	return &a.lines[at]
}

// deliver passes notices to the backend as the line is configured now.
func (a *Attendance) deliver(ctx context.Context, name string, list []broker.Notice) error {
	a.mu.Lock()
	line := a.line(name)
	a.mu.Unlock()
	if line == nil {
		return errLineGone
	}
	return line.Deliver(ctx, list)
}
