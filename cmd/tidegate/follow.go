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
	// lookAgain is how often a file that was read to its end is checked again.
	lookAgain = 100 * time.Millisecond

	// lastWrites is how long a program may keep writing to a rotated file before it
	// opens the new one.
	lastWrites = time.Second

	// longestLine is the length in bytes at which a line is split.
	longestLine = 1 << 20
)

// follower reads the lines of a file that grows, is rotated (another file takes its name)
// or truncated. It opens the file itself, and waits until it exists. It reads what a
// program writes to a rotated file within a second before it reads the new one. Lines that
// are truncated before they could be read, within a tenth of a second, are lost.
type follower struct {
	// Fixed at birth.
	path string

	// Owned by next.
	file     *os.File // nil if not open
	reader   *bufio.Reader
	offset   int64     // read so far
	line     []byte    // the beginning of an incomplete line
	replaced time.Time // when another file was found under the name; zero if none was
}

// openFollower returns a follower that starts at the beginning of the file.
func openFollower(path string) (*follower, error) {
	f := &follower{path: path}
	return f, ignoreMissing(f.open())
}

// skip skips the present contents of the file.
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

// next blocks until the next line is complete and returns it without the newline. The
// caller owns the line.
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
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
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

// read returns a line, or nil if there is no complete one.
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

// turn checks whether the file, which was read to its end, has been truncated or replaced. If
// so, it continues at the beginning of the new one and returns the incomplete line, if any.
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

// rotated reports whether another file has had the name for lastWrites.
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

// takeRest returns the incomplete line, or nil if there is none.
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
