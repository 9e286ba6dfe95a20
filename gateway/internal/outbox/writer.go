package outbox

import "time"

// Batch is what a writer takes at once.
type Batch struct {
	Frames   [][]byte
	Messages int       // among the frames
	Sampled  time.Time // when a sampled message among them was received; zero: none is
	followed *followed
}

// Written tells those who follow messages of the batch that it is written.
func (b *Batch) Written() {
	for f := b.followed; f != nil; f = f.before {
		f.written()
	}
}

// Take makes the caller the writer, and appends to buf what waits: as many frames
// as atMost bytes hold, but at least one. A writer that has said Stall stays stalled.
func (o *Outbox) Take(buf [][]byte, atMost int, all *Pool) Batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != stalled {
		o.state = writing
	}
	o.inHand = 0
	o.turns++
	taking := Batch{Frames: buf}
	for o.first != nil && !o.blocked() && (o.inHand == 0 || o.inHand+len(o.first) <= atMost) {
		taking.Frames = append(taking.Frames, o.first)
		o.inHand += len(o.first)
		o.shift(all)
	}
	if o.first == nil && !o.place {
		taking.Frames = o.takeLatest(taking.Frames)
	}
	o.waiting -= o.inHand
	taking.Messages, o.messages = int(o.messages), 0
	if o.sampled != nil {
		taking.Sampled, o.sampled = *o.sampled, nil
	}
	if o.first == nil { // else they may be among what is left
		taking.followed, o.followed = o.followed, nil
	}
	o.announceRoom()
	return taking
}

// Stall says that the peer has not taken all that the writer has. Until Release,
// conflated channels keep only their latest message.
func (o *Outbox) Stall() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = stalled
}

func (o *Outbox) shift(all *Pool) {
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

func (o *Outbox) takeLatest(buf [][]byte) [][]byte {
	for ch, frame := range o.latest {
		buf = append(buf, frame)
		o.inHand += len(frame)
		o.messages++
		delete(o.latest, ch)
	}
	o.latest = nil
	return buf
}

// Turn says what the writer is to do after it has written all that it took.
type Turn uint8

const (
	Rest   Turn = iota // nothing waits; the caller is the writer no more
	Again              // more waits; the caller is to put the session in line
	Finish             // nothing waits and the session ends; the caller is to close the connection
)

// Release ends the caller's turn as the writer. With Finish it returns why the
// session ends.
func (o *Outbox) Release() (Turn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inHand = 0
	o.announceRoom()
	switch {
	case !o.blocked() && (o.first != nil || len(o.latest) > 0):
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

// Outlook is what a writer that makes no progress has before it.
type Outlook uint8

const (
	Hope    Outlook = iota // go on trying
	TooSlow                // the peer has taken nothing for too long: end the session and close the connection
	GivenUp                // the session was ending: close the connection
)

// GiveUp tells a writer that has made no progress since the given time whether to
// stop, and, if GivenUp, why the session ends.
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

// Patience returns for how long a writer may wait for the peer before it looks around:
// atMost, and no longer than the peer of a session that ends may take.
func (o *Outbox) Patience(atMost time.Duration, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending == nil {
		return atMost
	}
	return max(shortestWait, min(atMost, o.ending.at.Add(o.ending.Patience).Sub(now)))
}

const shortestWait = time.Millisecond

// StallPatience is how long a peer may take not a single byte.
const StallPatience = 30 * time.Second
