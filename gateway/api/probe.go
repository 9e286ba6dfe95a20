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

// probed is what a node sees of a request that came through a load balancer, and which node it is.
type probed struct {
	Node      string `json:"node"`
	Version   string `json:"version"`
	Prefix    string `json:"prefix"` // of the names in Redis; empty without Redis
	Time      int64  `json:"time"`   // milliseconds since 1970
	Host      string `json:"host"`
	Secure    bool   `json:"secure"`
	Address   string `json:"address"`   // the address that the client's limits apply to
	Forwarded string `json:"forwarded"` // X-Forwarded-For as received
}

// probe returns what the node sees. With ?unanswered=CHANNEL it publishes the node's name
// on that channel and closes the connection without an answer. A subscriber of the channel
// then sees to how many nodes the load balancer has sent the request.
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
		Node: h.gateway.Node(), Version: h.config.Version, Prefix: h.config.Prefix, Time: time.Now().UnixMilli(),
		Host: r.Host, Secure: transport.IsSecure(r.Request), Address: address,
		Forwarded: strings.Join(r.Header.Values("X-Forwarded-For"), ", "),
	}, nil
}
