package websocket

// stock lends out a limited number of large objects. It creates one if none is free, and
// keeps them all. It is safe for concurrent use.
type stock[T any] struct {
	spare  chan T
	unmade chan struct{} // one token for each object not created yet
	create func() T
}

func newStock[T any](most int, create func() T) stock[T] {
	s := stock[T]{spare: make(chan T, most), unmade: make(chan struct{}, most), create: create}
	for range most {
		s.unmade <- struct{}{}
	}
	return s
}

// take waits while all objects are in use. The caller must put the object back without
// waiting for anything else, so that a few objects are enough.
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
