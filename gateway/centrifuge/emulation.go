package centrifuge

import (
	"encoding/json"
	"net/http"

	"google.golang.org/protobuf/proto"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
	"tidegate/gateway/transport"
)

// NewEmulation returns a handler that receives the commands of clients on streams and
// forwards them to the node of the stream:
//
//	POST {"session":"…","node":"…","data":"{\"id\":2,\"subscribe\":…}"}
//
// or, with the Content-Type application/octet-stream, an EmulationRequest in Protobuf.
// Session and node are those of the connect reply. The answer is 204 once the commands are
// queued; the replies come over the stream. SDKs start a new session after 404 and after
// 500 and above. Which pages may send requests is decided by CORS.
func NewEmulation(g *gateway.Gateway) http.Handler {
	return transport.Only(&emulation{g}, http.MethodPost)
}

type emulation struct{ gateway *gateway.Gateway }

// ServeHTTP serves one request.
func (e *emulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := e.gateway.Users.Spend(r.RemoteAddr); err != nil {
		transport.LeaveUnread(w, r)
		transport.Refuse(w, err)
		return
	}
	payer := e.gateway.Budget.Payer(&gateway.Principal{}, r.RemoteAddr)
	body, release, err := transport.ReadBody(e.gateway.Budget, payer, w, r, 2*mostSaid(e.gateway)) // twice, because the data is escaped once more
	if err == nil {
		err = e.pass(r, body)
		release()
	}
	if err != nil {
		transport.Refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

func (e *emulation) pass(r *http.Request, body []byte) error {
	var request wire.EmulationRequest
	binary := isProtobuf(r)
	if err := readEmulation(body, binary, &request); err != nil {
		return &gateway.Error{Code: gateway.BadRequest, Message: "the body is no emulation request"}
	}
	if request.Session == "" || request.Node == "" {
		return &gateway.Error{Code: gateway.BadRequest, Message: "session and node are missing: give those of the connect reply"}
	}
	if len(request.Data) > mostSaid(e.gateway) {
		return &gateway.Error{Code: gateway.TooLarge, Message: "the data is larger than allowed"}
	}
	id, key := cutSession(request.Session)
	frame := gateway.Frame{Data: request.Data, Binary: binary}
	return e.gateway.Users.SendTo(r.Context(), request.Node, id, key, frame)
}

func readEmulation(body []byte, binary bool, request *wire.EmulationRequest) error {
	if binary {
		return proto.Unmarshal(body, request)
	}
	var said struct{ Session, Node, Data string }
	if broker.Nested(body) {
		return badRequest(nested)
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return err
	}
	request.Session, request.Node, request.Data = said.Session, said.Node, []byte(said.Data)
	return nil
}
