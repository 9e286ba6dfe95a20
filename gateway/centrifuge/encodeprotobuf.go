package centrifuge

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"tidegate/gateway/centrifuge/internal/wire"
)

// appendProtobuf returns a reply prefixed by its length.
func appendProtobuf(r *wire.Reply) ([]byte, error) {
	size := proto.Size(r)
	data := binary.AppendUvarint(make([]byte, 0, size+binary.MaxVarintLen32), uint64(size))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(data, r)
}
