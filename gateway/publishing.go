package gateway

import "tidegate/broker/lock"

// publishing keeps track of a session's publishes that the broker has not answered yet. The
// client may send more meanwhile; if it does not wait for each answer, its publishes share
// round trips. The zero value is ready for use. All methods are safe for concurrent use.
type publishing struct {
	mu      lock.Mutex[lock.Publishing]
	due     uint32        // answers outstanding
	bytes   uint32        // total size of their payloads, within mostDueBytes unless there is only one
	settled chan struct{} // closed at the next answer; nil: nobody waits
}

// Limits of outstanding answers; a session that reaches one of them waits.
const (
	mostDue      = 64
	mostDueBytes = 256 << 10
)

// begin waits until there is room for one more publish, and adds it.
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

// end records that an answer has arrived.
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

// await waits until no answer is outstanding.
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

// nextSettled returns a channel that is closed at the next answer. The caller must hold mu.
func (p *publishing) nextSettled() <-chan struct{} {
	if p.settled == nil {
		p.settled = make(chan struct{})
	}
	return p.settled
}
