// Package wire contains the messages of the Centrifuge client protocol, generated from
// centrifuge.proto.
package wire

import "encoding/json"

//go:generate sh -c "GOBIN=$PWD/.bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 && PATH=$PWD/.bin:$PATH protoc --go_out=. --go_opt=paths=source_relative centrifuge.proto && sed -i -f json.sed centrifuge.pb.go && rm -r .bin"

// Raw is the type of all fields of bytes. So encoding/json reads and writes the messages, too.
type Raw = json.RawMessage

// Error makes an Error of the protocol an error.
func (e *Error) Error() string { return e.Message }
