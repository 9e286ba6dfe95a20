package attendance

import (
	"context"
	"slices"
	"sync"

	"tidegate/broker"
)

// What may wait on a node to be put in line, or be on its way there.
const (
	mostPosts     = 10_000
	mostPostBytes = 16 << 20
)

// SetLines replaces what backends are to be told. What is in a line that is not among
// them any more stays there for a while.
func (a *Attendance) SetLines(lines []Line) {
	a.mu.Lock()
	a.lines = slices.Clone(lines)
	a.hurried = true
	a.mu.Unlock()
	rouse(a.wake)
}

// Post puts a notice in line, behind what has happened on its channel before on this
// node. It does not wait for the broker; what the node has not put in line yet when it
// dies is lost, and so is what the broker could not be told for too long.
func (a *Attendance) Post(n broker.Notice) {
	a.mu.Lock()
	full := len(a.toPut.list) >= mostPosts || a.toPut.bytes+sizeOf(&n) > mostPostBytes
	if full {
		a.noRoom++
	} else {
		a.toPut.add(n)
	}
	a.mu.Unlock()
	if full && a.config.Dropped != nil {
		a.config.Dropped(1)
	}
	rouse(a.wake)
}

// logDropped logs how many posts have found no room lately.
func (a *Attendance) logDropped() {
	a.mu.Lock()
	dropped := a.noRoom
	a.noRoom = 0
	a.mu.Unlock()
	if dropped > 0 {
		a.config.Log.Error("notices for the webhook's backend found no room on the node, as the broker does not take them fast enough", "dropped", dropped)
	}
}

// put puts in line what was posted, how many notices it returns. What is not there
// then is kept.
func (a *Attendance) put(ctx context.Context) (int, error) {
	a.mu.Lock()
	due := a.toPut.list
	a.mu.Unlock()
	if len(due) == 0 {
		return 0, nil
	}
	inLine, err := a.config.Presence.Put(ctx, a.by, due)
	a.mu.Lock()
	a.toPut.remove(inLine)
	a.mu.Unlock()
	for i := range due {
		if inLine[i] {
			a.rouseLine(due[i].Line)
		}
	}
	return len(due), err
}

// refreshWants has the node state what is wanted now.
func (a *Attendance) refreshWants() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by.Wants = make([]broker.Wants, len(a.lines))
	for i := range a.lines {
		a.by.Wants[i] = a.lines[i].Wants
	}
}

// RouseTeller says that another node has put something in line.
func (a *Attendance) RouseTeller(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tellers[line]; t != nil {
		rouse(t.roused)
	}
}

// rouseLine says that this node has put something in line.
func (a *Attendance) rouseLine(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tellers[line]; t != nil {
		rouse(t.changed)
	}
}

// rouseAll says that a sign of life may have put something in any line.
func (a *Attendance) rouseAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tellers {
		rouse(t.changed)
	}
}

// rouseLines says that this node may have put something in the lines that are told of
// the channels.
func (a *Attendance) rouseLines(channels []broker.Attendance) {
	for i := range a.by.Wants {
		w := &a.by.Wants[i]
		if slices.ContainsFunc(channels, func(c broker.Attendance) bool {
			return w.Of == nil || w.Of(c.Channel)
		}) {
			a.rouseLine(w.Line)
		}
	}
}

// tend has a teller work for each line, until ctx ends.
func (a *Attendance) tend(ctx context.Context, working *sync.WaitGroup) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, t := range a.tellers {
		if a.line(name) == nil {
			t.stop(errLineGone)
			delete(a.tellers, name)
		}
	}
	for i := range a.lines {
		name := a.lines[i].Wants.Line
		if a.tellers[name] != nil {
			continue
		}
		t := newTeller(name, &a.config, func(ctx context.Context, list []broker.Notice) error { return a.deliver(ctx, name, list) })
		telling, stop := context.WithCancelCause(ctx)
		t.stop = stop
		a.tellers[name] = t
		working.Go(func() { t.run(telling) })
	}
}

// line is called with mu held. nil: there is none.
func (a *Attendance) line(name string) *Line {
	at := slices.IndexFunc(a.lines, func(l Line) bool { return l.Wants.Line == name })
	if at < 0 {
		return nil
	}
	return &a.lines[at]
}

// deliver has the backend of a line told, as the line is now.
func (a *Attendance) deliver(ctx context.Context, name string, list []broker.Notice) error {
	a.mu.Lock()
	line := a.line(name)
	a.mu.Unlock()
	if line == nil {
		return errLineGone
	}
	return line.Deliver(ctx, list)
}
