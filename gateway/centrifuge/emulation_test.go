package centrifuge

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"

	"tidegate/gateway/centrifuge/internal/wire"
)

// FuzzEmulation parses bodies and checks that encoding and parsing the result again
// changes nothing.
func FuzzEmulation(f *testing.F) {
	request := &wire.EmulationRequest{Node: "n", Session: "s.k", Data: []byte(`{"id":1,"ping":{}}`)}
	inProtobuf, err := proto.Marshal(request)
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{`{"node":"n","session":"s.k","data":"{\"id\":1,\"ping\":{}}"}`, `{"data":"\ud800"}`, "{}", "null", "[", `{"session":7}`, string(inProtobuf)} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, binary bool) {
		var read, again wire.EmulationRequest
		if readEmulation(body, binary, &read) != nil {
			return
		}
		if id, key := cutSession(read.Session); key != "" && sessionOf(id, key) != read.Session {
			t.Errorf("the session %q is %q and %q", read.Session, id, key)
		}
		written, err := proto.Marshal(&read)
		if !binary {
			written, err = json.Marshal(map[string]string{"session": read.Session, "node": read.Node, "data": string(read.Data)})
		}
		if err == nil {
			err = readEmulation(written, binary, &again)
		}
		if err != nil || !proto.Equal(&read, &again) {
			t.Errorf("%q is read as %v, and that as %v: %v", body, &read, &again, err)
		}
	})
}
