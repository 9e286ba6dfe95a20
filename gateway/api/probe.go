package api

import (
	"net"
	"net/http"
	"strings"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// probed is what a node sees of a request that has come by way of a balancer, and who
// the node is.
type probed struct {
	Node      string `json:"node"`
	Version   string `json:"version"`
	Prefix    string `json:"prefix"` // of the names in Redis; empty without one
	Time      int64  `json:"time"`   // milliseconds since 1970
	Host      string `json:"host"`
	Secure    bool   `json:"secure"`
	Address   string `json:"address"`   // that the client's limits are counted by
	Forwarded string `json:"forwarded"` // X-Forwarded-For, as it has come
}

// probe answers with what the node sees. A probe that asks for no answer is announced
// on a channel, and then its connection is closed: whoever listens there hears how many
// nodes the balancer has sent it to.
func (h *Handler) probe(r *request) (any, error) {
	if channel := r.URL.Query().Get("unanswered"); channel != "" {
		told := gateway.Publish{Channel: channel, Payload: []byte(h.gateway.Node()), Kind: broker.Text, Transient: true}
		if _, err := h.gateway.Publish(r.Context(), r.by, told); err != nil {
			return nil, err
		}
		panic(http.ErrAbortHandler)
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	return probed{
		Node: h.gateway.Node(), Version: h.version, Prefix: h.prefix, Time: time.Now().UnixMilli(),
		Host: r.Host, Secure: transport.IsSecure(r.Request), Address: address,
		Forwarded: strings.Join(r.Header.Values("X-Forwarded-For"), ", "),
	}, nil
}
