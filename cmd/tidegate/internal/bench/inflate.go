package bench

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

const deflateOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// inflaters is a pool of decompressors for received messages. It is safe for concurrent use.
type inflaters struct{ spare sync.Pool } // of *inflater

type inflater struct {
	source bytes.Reader
	tail   bytes.Reader
	stream io.ReadCloser // also a flate.Resetter
}

// deflateTail follows each message: the four bytes that the sender removes (RFC 7692,
// section 7.2.1), and an empty final block that ends the stream.
var deflateTail = []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")

// inflate returns the decompressed message, at most longestFrame bytes of it. It reuses the
// memory of into if that is large enough.
func (all *inflaters) inflate(packed, into []byte) ([]byte, error) {
	i, ok := all.spare.Get().(*inflater)
	if !ok {
		i = &inflater{stream: flate.NewReader(nil)}
	}
	defer all.spare.Put(i)
	i.source.Reset(packed)
	i.tail.Reset(deflateTail)
	err := i.stream.(flate.Resetter).Reset(io.MultiReader(&i.source, &i.tail), nil)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(into[:0])
	_, err = out.ReadFrom(io.LimitReader(i.stream, longestFrame))
	return out.Bytes(), err
}
