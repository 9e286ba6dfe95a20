package websocket

import "sync"

// scratch is memory that connections share, for writing several frames by one call. It is
// safe for concurrent use.
type scratch struct{ blocks sync.Pool } // of *[scratchBytes]byte

const scratchBytes = 64 << 10

// write writes frames in as few calls as possible, until the outlet does not take
// everything. It has written all frames before frames[at], and the first written bytes of
// frames[at].
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

// gather returns the next bytes to write: as many frames as fit into block, copied there, or
// the first frame itself if it does not fit or is the only one.
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

// advance returns the position that is n bytes after the beginning of frames[at]: the index
// of a frame, and how many of its bytes lie before the position.
func advance(frames [][]byte, at, n int) (int, int) {
	for at < len(frames) && n >= len(frames[at]) {
		n -= len(frames[at])
		at++
	}
	return at, n
}
