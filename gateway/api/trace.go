package api

import (
	"time"

	"tidegate/gateway"
	"tidegate/gateway/internal/payload"
)

type traceRequest struct {
	payload.Fields
	Event     string `json:"event"`
	Publisher actor  `json:"publisher"` // the API key if empty
	Recipient string `json:"recipient"`
	Wait      string `json:"wait"`
}

const traceWait = 2 * time.Second // if the request does not say

// trace publishes a message and returns what has become of it.
func (h *Handler) trace(r *request) (any, error) {
	var asked traceRequest
	err := r.decode(h.largestMessage()+maxDenial, &asked)
	if err != nil {
		return nil, err
	}
	c := gateway.Publish{Channel: r.PathValue("channel"), Event: asked.Event}
	var ok bool
	if c.Payload, c.Kind, ok = asked.Payload(); !ok {
		return nil, fail(gateway.BadRequest, "give one of data, text and binary")
	}
	q := gateway.TraceQuestion{User: asked.Recipient, Wait: traceWait}
	if asked.Wait != "" {
		if q.Wait, err = time.ParseDuration(asked.Wait); err != nil || q.Wait < 0 {
			return nil, fail(gateway.BadRequest, `wait is %.32q: want a time such as "5s"`, asked.Wait)
		}
	}
	p := *r.by
	if asked.Publisher != (actor{}) {
		if p, err = h.principalOf(r, asked.Publisher); err != nil {
			return nil, err
		}
	}
	t, err := h.gateway.Trace(r.Context(), &p, c, q)
	if err != nil {
		return nil, err
	}
	return t, nil
}
