package websocket

// stock lends a few of something large. They are made when none is at hand, and
// kept. All methods may be called concurrently.
type stock[T any] struct {
	spare  chan T
	unmade chan struct{} // a place for each that is not made yet
	create func() T
}

func newStock[T any](most int, create func() T) stock[T] {
	s := stock[T]{spare: make(chan T, most), unmade: make(chan struct{}, most), create: create}
	for range most {
		s.unmade <- struct{}{}
	}
	return s
}

// take waits while all are lent. Who takes one puts it back without waiting for
// anything else, so that a few are enough for all.
func (s *stock[T]) take() T {
	select {
	case one := <-s.spare:
		return one
	default:
	}
	select {
	case one := <-s.spare:
		return one
	case <-s.unmade:
		return s.create()
	}
}

func (s *stock[T]) put(one T) { s.spare <- one }
