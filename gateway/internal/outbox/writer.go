package outbox

import "time"

// Batch is the frames that a writer takes at once.
type Batch struct {
	Frames   [][]byte
	Messages int       // number of messages among the frames
	Sampled  time.Time // when a sampled message among them was received; zero if there is none
	followed *followed
}

// Written calls the Receipt.Became functions of the batch's messages.
func (b *Batch) Written() {
	for f := b.followed; f != nil; f = f.before {
		f.became(true)
	}
}

// Take makes the caller the writer, and appends the waiting frames to buf: as many as fit
// into atMost bytes, but at least one. After Stall, the outbox stays stalled until Release.
func (o *Outbox) Take(buf [][]byte, atMost int, all *Pool) Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != stalled {
		o.state = writing
	}
	o.release()
	taking := Batch{Frames: buf}
	for o.first != nil && !o.blocked() && (o.inHand == 0 || o.inHand+len(o.first) <= atMost) {
		taking.Frames = append(taking.Frames, o.first)
		o.inHand += len(o.first)
		o.shift(all)
	}
	taking.followed = o.takeFollowed()
	if o.first == nil && !o.place {
		o.takeLatest(&taking)
	}
	o.waiting -= o.inHand
	taking.Messages, o.messages = int(o.messages), 0
	if o.sampled != nil {
		taking.Sampled, o.sampled = *o.sampled, nil
	}
	o.announceRoom()
	return taking
}

// Stall records that the peer has not taken all that the writer has. Until Release, only the
// latest message of each conflated channel is kept.
func (o *Outbox) Stall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = stalled
}

func (o *Outbox) shift(all *Pool) {
	o.taken++
	if o.place {
		o.ahead--
	}
	if o.more == nil {
		o.first = nil
		return
	}
	b := o.more
	o.first = b.frames[b.head]
	b.frames[b.head] = nil
	b.head++
	if b.head == len(b.frames) {
		o.more = nil
		all.spare(b)
	}
}

// takeFollowed removes and returns those of followed whose frames have been taken.
func (o *Outbox) takeFollowed() (taken *followed) {
	oldest := &o.followed
	for *oldest != nil && int32((*oldest).number-o.taken) > 0 {
		oldest = &(*oldest).before
	}
	taken, *oldest = *oldest, nil
	return taken
}

func (o *Outbox) takeLatest(taking *Batch) {
	if o.latest == nil {
		return
	}
	for ch, r := range o.latest.frames {
		taking.Frames = append(taking.Frames, r.frame)
		if r.became != nil {
			taking.followed = &followed{became: r.became, before: taking.followed}
		}
		o.messages++
		delete(o.latest.frames, ch)
	}
	o.latest.inHand, o.latest.bytes = o.latest.bytes, 0
}

// release records that the writer has written what it has taken.
func (o *Outbox) release() {
	if o.inHand = 0; o.latest == nil {
		return
	}
	if o.latest.inHand = 0; !o.hasLatest() {
		o.latest = nil
	}
}

// Turn says what the writer must do after it has written all that it took.
type Turn uint8

const (
	Rest   Turn = iota // nothing waits; the caller is no longer the writer
	Again              // more frames wait; the caller must put the outbox in line
	Finish             // nothing waits, the session ends; the caller must close the connection
)

// Release ends the caller's turn as the writer. With Finish, it also returns why the session
// ends.
func (o *Outbox) Release() (Turn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release()
	o.announceRoom()
	switch {
	case !o.blocked() && (o.first != nil || o.hasLatest()):
		o.state = queued
		return Again, nil
	case o.ending != nil:
		o.state = finished
		return Finish, o.ending.Why
	default:
		o.state = idle
		return Rest, nil
	}
}

// Outlook says whether a writer that makes no progress should go on.
type Outlook uint8

const (
	Hope    Outlook = iota // keep trying
	TooSlow                // no progress for too long: end the session, close the connection
	GivenUp                // the session's ending took too long: close the connection
)

// GiveUp decides whether a writer that has made no progress since the given time should
// stop. With GivenUp, it also returns why the session ends.
func (o *Outbox) GiveUp(since, now time.Time) (Outlook, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ending != nil && (o.ending.Forsakes || now.Sub(o.ending.at) > o.ending.Patience):
		o.state = finished
		return GivenUp, o.ending.Why
	case o.ending == nil && now.Sub(since) > StallPatience:
		return TooSlow, nil
	}
	return Hope, nil
}

// Patience returns how long a writer may wait for the peer before it checks GiveUp again:
// atMost, or less if the session is ending and its time is up sooner.
func (o *Outbox) Patience(atMost time.Duration, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending == nil {
		return atMost
	}
	return max(shortestWait, min(atMost, o.ending.at.Add(o.ending.Patience).Sub(now)))
}

const shortestWait = time.Millisecond

// StallPatience is how long a peer may go without reading a single byte.
const StallPatience = 30 * time.Second
