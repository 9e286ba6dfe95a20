package hub

import (
	"slices"
	"time"

	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/pause"
	"tidegate/gateway/internal/timeline"
)

// deliver sends an entry to the audience. The caller must hold ch.mu, and must call
// Line.Help or Line.Rouse once it has nothing more to deliver, because the outboxes are only
// parked.
func (ch *Channel) deliver(e *timeline.Entry) {
	ch.delivered++
	conflate := ch.rule.Load().Conflate
	delivery := ch.track(e)
	before := ch.deltas.begin(ch.all)
	for i := range ch.audiences {
		a := &ch.audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := a.dialect.frameOf(e, before)
		if frame != nil && err == nil {
			ch.send(a, e, frame, conflate, delivery)
			continue
		}
		if delivery != nil {
			for i := range a.members {
				delivery.leaveOut(a.members[i].of.by, Unsaid)
			}
		}
		if err != nil {
			ch.dismiss(a, Dismissal{Why: err})
		}
	}
	delivery.sent()
	ch.deltas.end(ch, &e.Message, conflate)
}

// send queues the message's frame for every member of the audience. d is nil if the message
// is not followed.
func (ch *Channel) send(a *audience, e *timeline.Entry, frame []byte, conflate bool, d *delivery) {
	boxes := ch.all.Outboxes
	woken := woken{ch: ch}
	receipt := outbox.Receipt{At: e.Received, Later: ch.rule.Load().Delay > 0}
	for i := range a.members {
		m := &a.members[i]
		if m.of.skips(&e.Message) {
			ch.deltas.skip(m.of)
			d.leaveOut(m.of.by, Skipped)
			continue
		}
		var v outbox.Verdict
		receipt.Became = d.add(m.of.by)
		if conflate {
			v = m.out.PushLatest(ch, frame, boxes, outbox.Receipt{Became: receipt.Became, Later: receipt.Later})
		} else {
			v = m.out.PushMessage(frame, boxes, receipt)
			receipt.At = time.Time{}
		}
		d.queued(v)
		woken.add(m, v)
	}
	woken.rouse()
}

// announce sends news to the audience and to the newcomers. Only a gap is not for newcomers:
// their resumptions tell them what is lost. The caller must hold ch.mu.
func (ch *Channel) announce(n News) {
	n.Channel = ch.name
	ch.announceTo(ch.audiences, &n)
	if n.Kind != Gap && ch.past != nil {
		ch.announceTo(ch.arrivals(), &n)
	}
	ch.all.Line.Rouse()
}

func (ch *Channel) announceTo(audiences audiences, n *News) {
	for i := range audiences {
		a := &audiences[i]
		if len(a.members) == 0 {
			continue
		}
		frame, err := a.dialect.EncodeNews(n)
		if d, due := DismissalFor(frame, err); due {
			ch.dismiss(a, d)
			continue
		}
		if frame.Data != nil {
			ch.sendNews(a, frame, n)
		}
	}
}

// sendNews queues the frame of some news for every member that is to receive it.
func (ch *Channel) sendNews(a *audience, frame Frame, n *News) {
	woken, push := woken{ch: ch}, (*outbox.Outbox).Push
	if ch.rule.Load().Delay > 0 {
		push = (*outbox.Outbox).PushLater
	}
	for i := range a.members {
		m := &a.members[i]
		if m.of.skipsNews(n, frame.Others) {
			continue
		}
		if n.Kind == Gap {
			woken.add(m, ch.queueLatest(m.out))
		}
		woken.add(m, push(m.out, frame.Data, ch.all.Outboxes))
	}
	woken.rouse()
}

// queueLatest queues what waits of a conflated channel, because it was published before the gap
// that follows. If there is no room, it is lost, as the gap says: half of the room is for what
// cannot be replaced, and many channels may have a gap at once.
func (ch *Channel) queueLatest(o *outbox.Outbox) outbox.Verdict {
	boxes := ch.all.Outboxes
	if o.Room(boxes.Limit/2, boxes) == nil {
		return o.QueueLatest(ch, boxes)
	}
	o.DropLatest(ch)
	return outbox.Waits
}

// announceGap tells the audience, if it is not empty, that messages are lost. The caller
// must hold ch.mu.
func (ch *Channel) announceGap() {
	if ch.audiences.areEmpty() {
		return
	}
	ch.all.Counters.Told.Inc()
	ch.announce(News{Kind: Gap})
}

// skipsNews reports whether the session must not receive the news: it does not want joins
// and leaves, or, if othersOnly is set, the news is about the session's own member. The
// caller must hold the channel's mu.
func (sub *Subscription) skipsNews(n *News, othersOnly bool) bool {
	switch n.Kind {
	case Joined, Left:
		return sub.terms.Unaware || othersOnly && sub.as != nil && sub.as.Is(&n.Who)
	case ManyChanged:
		return sub.terms.Unaware
	}
	return false
}

// woken collects outboxes that must be written. It passes them to the flushers in groups, so
// that writing begins while other members are still being served.
type woken struct {
	ch    *Channel
	boxes [64]*outbox.Outbox
	n     int
}

// add handles the verdict on a member's frame: it collects an outbox that must be written,
// and dismisses a session whose outbox is full.
func (w *woken) add(m *member, v outbox.Verdict) {
	switch v {
	case outbox.Delays:
		w.ch.delay(m.out)
	case outbox.Wakes:
		w.boxes[w.n] = m.out
		if w.n++; w.n == len(w.boxes) {
			w.rouse()
		}
	case outbox.Full:
		m.of.by.Dismiss(Dismissal{Why: ErrSlow})
	}
}

// rouse passes the collected outboxes on.
func (w *woken) rouse() {
	w.ch.all.Line.Park(w.boxes[:w.n]...)
	w.n = 0
}

// delay puts an outbox in line for the flushers after the rule's Delay, so that what is queued
// meanwhile is written by the same system call, unless something that may not wait is queued first.
func (ch *Channel) delay(o *outbox.Outbox) {
	if ch.delayed == nil {
		ch.delayed = new([]*outbox.Outbox)
		time.AfterFunc(ch.rule.Load().Delay, func() { ch.all.Wall.Do("write what was delayed", ch.rouseDelayed) })
	}
	*ch.delayed = append(*ch.delayed, o)
}

func (ch *Channel) rouseDelayed() {
	ch.mu.Lock()
	boxes := ch.delayed
	ch.delayed = nil
	ch.mu.Unlock()
	if boxes != nil {
		ch.all.Line.Queue(slices.DeleteFunc(*boxes, func(o *outbox.Outbox) bool { return !o.Due() })...)
	}
}

// DismissWindow is the time over which dismissals are spread, so that the clients do not all
// reconnect at once.
const DismissWindow = 3 * time.Second

// dismiss dismisses all members of an audience, spread over DismissWindow. They receive
// nothing more of the channel. The caller must hold ch.mu.
func (ch *Channel) dismiss(a *audience, d Dismissal) {
	members := slices.Clone(a.members)
	for i := range members {
		members[i].of.withdraw()
	}
	life := ch.all.Life
	ch.all.Background.Go(func() {
		began := time.Now()
		for i := range members {
			if !pause.Until(life, began.Add(DismissWindow*time.Duration(i)/time.Duration(len(members)))) {
				return
			}
			members[i].of.by.Dismiss(d)
		}
	})
}

// TellCount tells the channel's subscribers on this node how many sessions the whole cluster
// has on it.
func (h *Hub) TellCount(channel string, sessions int) {
	if ch := h.find(channel); ch != nil {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		ch.announce(News{Kind: Counted, Sessions: sessions})
	}
}
