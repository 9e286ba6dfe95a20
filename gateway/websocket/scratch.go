package websocket

import "sync"

// scratch is memory that connections share to write several frames at once. It
// is safe for concurrent use.
type scratch struct{ blocks sync.Pool } // of *[scratchBytes]byte

const scratchBytes = 64 << 10

// write writes frames in as few calls as it can, until not all is taken. What
// was written is all before frames[at], and so many bytes of frames[at].
func (s *scratch) write(out outlet, frames [][]byte) (at, written int, err error) {
	if len(frames) == 1 {
		n, err := out.try(frames[0])
		at, written = advance(frames, 0, n)
		return at, written, err
	}
	block, ok := s.blocks.Get().(*[scratchBytes]byte)
	if !ok {
		block = new([scratchBytes]byte)
	}
	defer s.blocks.Put(block)
	for at < len(frames) {
		run := gather(block[:0], frames[at:])
		n, err := out.try(run)
		at, written = advance(frames, at, n)
		if err != nil || n < len(run) {
			return at, written, err
		}
	}
	return at, 0, nil
}

// gather returns one run of bytes: as many frames as there is room for in
// block, or the first one as it is if that has no room, or no company.
func gather(block []byte, frames [][]byte) []byte {
	if len(frames) == 1 || len(frames[0]) > scratchBytes {
		return frames[0]
	}
	for _, frame := range frames {
		if len(block)+len(frame) > scratchBytes {
			break
		}
		block = append(block, frame...)
	}
	return block
}

// advance returns which frame ends n bytes after the beginning of frames[at],
// and how many bytes of it those are.
func advance(frames [][]byte, at, n int) (int, int) {
	for at < len(frames) && n >= len(frames[at]) {
		n -= len(frames[at])
		at++
	}
	return at, n
}
