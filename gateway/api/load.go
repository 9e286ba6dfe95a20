package api

import (
	"strconv"
	"time"

	"tidegate/gateway"
)

// load returns how busy the nodes are, and the busiest channels and slowest sessions.
func (h *Handler) load(r *request) (any, error) {
	most := gateway.MostLoads
	if given := r.URL.Query().Get("most"); given != "" {
		var err error
		if most, err = strconv.Atoi(given); err != nil || most < 0 || most > gateway.MostLoads {
			return nil, fail(gateway.BadRequest, "most is %.32q: want a number from 0 to %d", given, gateway.MostLoads)
		}
	}
	found, err := h.gateway.Nodes.Load(r.Context(), most)
	if err != nil {
		return nil, err
	}
	answer := load{make([]nodeLoad, len(found.Nodes)), listOf(found.Channels), listOf(found.Slow)}
	for i := range found.Nodes {
		answer.Nodes[i] = nodeLoadOf(&found.Nodes[i])
	}
	return answer, nil
}

// load is the load of the nodes.
type load struct {
	Nodes    []nodeLoad            `json:"nodes"`
	Channels []gateway.ChannelLoad `json:"channels"`
	Slow     []gateway.SlowSession `json:"slow"`
}

// listOf returns list, or an empty one if it is nil, so that its JSON is a list.
func listOf[T any](list []T) []T { return append([]T{}, list...) }

type nodeLoad struct {
	node
	Silent        bool       `json:"silent"`
	Unready       string     `json:"unready"`
	Channels      int        `json:"channels"`
	Subscriptions int        `json:"subscriptions"`
	Waiting       int        `json:"waiting"`
	Slow          int        `json:"slow"`
	Rates         *loadRates `json:"rates,omitempty"` // nil if not measured yet
}

// loadRates are per second. Durations are in milliseconds.
type loadRates struct {
	Over      float64 `json:"over"` // seconds
	Opened    float64 `json:"opened"`
	Published float64 `json:"published"`
	Failed    float64 `json:"failed"`
	Received  float64 `json:"received"`
	Delivered float64 `json:"delivered"`
	Bytes     float64 `json:"bytes"`
	Lag       float64 `json:"lag"`
	RoundTrip float64 `json:"round_trip"`
}

func nodeLoadOf(n *gateway.NodeLoad) nodeLoad {
	told := nodeLoad{
		node: nodeOf(n.NodeInfo), Silent: n.Silent, Unready: n.Unready,
		Channels: n.Channels, Subscriptions: n.Subscriptions, Waiting: n.Waiting, Slow: n.Slow,
	}
	if n.Span > 0 {
		told.Rates = &loadRates{
			n.Span.Seconds(), n.Opened, n.Published, n.Failed, n.Received, n.Delivered, n.Bytes,
			milliseconds(n.Lag), milliseconds(n.RoundTrip),
		}
	}
	return told
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
