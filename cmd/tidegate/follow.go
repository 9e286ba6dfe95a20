package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// lookAgain is how often a file that has ended is looked at.
	lookAgain = 100 * time.Millisecond

	// lastWrites is how long a program may go on writing to a file that was
	// rotated away before it opens the new one.
	lastWrites = time.Second

	// longestLine is where a longer line is cut in two.
	longestLine = 1 << 20
)

// follower reads the lines of a file that grows, is rotated (another file takes
// its name), and is truncated. It opens the file by itself, and waits for one
// that is not there. What a program writes to a rotated file within a second is
// read before the new one. Lines that were truncated away before they were read,
// within a tenth of a second, are lost to every reader.
type follower struct {
	// Fixed at birth.
	path string

	// Owned by next.
	file     *os.File // nil: not open
	reader   *bufio.Reader
	offset   int64     // read so far
	line     []byte    // the beginning of a line whose end is not written yet
	replaced time.Time // when another file was seen in its place; zero: it was not
}

// openFollower begins at the beginning of the file.
func openFollower(path string) (*follower, error) {
	f := &follower{path: path}
	return f, ignoreMissing(f.open())
}

// skip leaves out what the file has already.
func (f *follower) skip() (err error) {
	if f.file != nil {
		f.offset, err = f.file.Seek(0, io.SeekEnd)
	}
	return err
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close() // it was only read
		f.file = nil
	}
}

// next returns the next line, without its end, when it is complete. The line is
// the caller's.
func (f *follower) next(ctx context.Context) ([]byte, error) {
	for {
		if f.file != nil {
			line, err := f.read()
			if line != nil || err != nil {
				return line, err
			}
		}
		if line, err := f.turn(); line != nil || err != nil {
			return line, err
		}
		if err := pause(ctx, lookAgain); err != nil {
			return nil, err
		}
	}
}

func (f *follower) open() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	f.file, f.reader, f.offset, f.replaced = file, bufio.NewReaderSize(file, 64<<10), 0, time.Time{}
	return nil
}

// read returns a line if there is a whole one.
func (f *follower) read() ([]byte, error) {
	for {
		part, err := f.reader.ReadSlice('\n')
		f.offset += int64(len(part))
		f.line = append(f.line, part...)
		switch {
		case err == nil, len(f.line) >= longestLine:
			return f.takeLine(), nil
		case errors.Is(err, io.EOF):
			return nil, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (f *follower) takeLine() []byte {
	line := withoutNewline(f.line)
	f.line = nil
	return line
}

// turn looks whether the file that was read to its end has been truncated or
// replaced, and goes to the beginning of the new one. If that cuts a line short,
// it is returned.
func (f *follower) turn() ([]byte, error) {
	if f.file == nil {
		return nil, ignoreMissing(f.open())
	}
	info, err := f.file.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Size() < f.offset:
		_, err := f.file.Seek(0, io.SeekStart)
		f.reader.Reset(f.file)
		f.offset = 0
		return f.takeRest(), err
	case f.rotated(info):
		f.close()
		return f.takeRest(), ignoreMissing(f.open())
	}
	return nil, nil
}

// rotated reports whether another file has had the name for long enough.
func (f *follower) rotated(info fs.FileInfo) bool {
	named, err := os.Stat(f.path)
	if err != nil || os.SameFile(named, info) {
		f.replaced = time.Time{}
		return false
	}
	if f.replaced.IsZero() {
		f.replaced = time.Now()
	}
	return time.Since(f.replaced) >= lastWrites
}

// takeRest returns a line that has no end, nil if there is none.
func (f *follower) takeRest() []byte {
	if len(f.line) == 0 {
		return nil
	}
	return f.takeLine()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
