package main

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

const (
	benchPacked  = 0x40 // the frame is a compressed message (RFC 7692, section 6)
	benchDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// benchInflaters inflate what sessions are sent. They are safe for concurrent use.
type benchInflaters struct{ spare sync.Pool } // of *benchInflater

type benchInflater struct {
	source bytes.Reader
	tail   bytes.Reader
	stream io.ReadCloser // a flate.Resetter, too
}

// benchTail is what a message is sent without (section 7.2.1), and the end of the
// stream.
var benchTail = []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")

// inflate returns a message, valid until the next one is read.
func (c *benchClient) inflate(packed []byte) ([]byte, error) {
	if c.inflaters == nil {
		return nil, errors.New("the server compresses without being asked")
	}
	i, ok := c.inflaters.spare.Get().(*benchInflater)
	if !ok {
		i = &benchInflater{stream: flate.NewReader(nil)}
	}
	defer c.inflaters.spare.Put(i)
	i.source.Reset(packed)
	i.tail.Reset(benchTail)
	err := i.stream.(flate.Resetter).Reset(io.MultiReader(&i.source, &i.tail), nil)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(c.inflated[:0])
	_, err = out.ReadFrom(io.LimitReader(i.stream, benchMaxFrame))
	c.inflated = out.Bytes()
	return c.inflated, err
}
