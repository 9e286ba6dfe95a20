package gateway

import "tidegate/broker/lock"

// publishing is what a session has published and the broker has not answered yet.
// The session's client may send more meanwhile, so that one that does not wait for
// each answer shares round trips with itself. The zero value is ready; all methods
// may be called concurrently.
type publishing struct {
	mu      lock.Mutex[lock.Publishing]
	due     uint32        // answers
	bytes   uint32        // of the payloads: a few, or one that is long
	settled chan struct{} // closed when an answer has come; nil: nobody waits for that
}

// A session waits while the answers that are due are as many as this.
const (
	mostDue      = 64
	mostDueBytes = 256 << 10
)

// begin waits until there is room for one more, and takes it.
func (p *publishing) begin(size int) {
	for settled := p.tryBegin(size); settled != nil; settled = p.tryBegin(size) {
		<-settled
	}
}

func (p *publishing) tryBegin(size int) (settled <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due > 0 && (p.due >= mostDue || int(p.bytes)+size > mostDueBytes) {
		return p.nextSettled()
	}
	p.due++
	p.bytes += uint32(size)
	return nil
}

// end says that an answer has come.
func (p *publishing) end(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due--
	p.bytes -= uint32(size)
	if p.settled != nil {
		close(p.settled)
		p.settled = nil
	}
}

// await returns when no answer is due.
func (p *publishing) await() {
	for settled := p.unsettled(); settled != nil; settled = p.unsettled() {
		<-settled
	}
}

func (p *publishing) unsettled() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == 0 {
		return nil
	}
	return p.nextSettled()
}

// nextSettled is called with mu held.
func (p *publishing) nextSettled() <-chan struct{} {
	if p.settled == nil {
		p.settled = make(chan struct{})
	}
	return p.settled
}
