package api

import (
	"encoding/json"

	"tidegate/gateway"
)

// unlimitedBody limits a message in bytes if limits.message_bytes does not.
const unlimitedBody = 64 << 20

func (h *Handler) publish(r *request) (any, error) {
	channel := r.PathValue("channel")
	// Check this before reading the body, so that an unauthorized client cannot make
	// the node read it.
	if err := h.gateway.Authorize(r.by, gateway.ToPublish, channel); err != nil {
		return nil, err
	}
	payload, err := r.readBody(h.largestMessage())
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(r.Header.Get("Content-Type"), payload)
	if err != nil {
		return nil, err
	}
	transient := r.URL.Query().Get("transient")
	if transient != "" && transient != "true" && transient != "false" {
		return nil, fail(gateway.BadRequest, "transient is %.32q: want true or false", transient)
	}
	publish := gateway.Publish{
		Channel: channel, Payload: payload, Kind: kind,
		Event: r.URL.Query().Get("event"), Tags: jsonOrNil([]byte(r.URL.Query().Get("tags"))), Key: r.Header.Get("Idempotency-Key"), Transient: transient == "true",
		Except: r.URL.Query().Get("except"), Trace: r.traceparent(),
	}
	if err := h.gateway.Budget.Spend(r.by, r.RemoteAddr, h.gateway.PublishCost(&publish)); err != nil {
		return nil, err
	}
	position, err := h.gateway.Publish(r.Context(), r.by, publish)
	if err != nil {
		return nil, err
	}
	return published{position.String()}, nil
}

// traceparent returns the W3C trace context of the request, for tracing the message.
func (r *request) traceparent() string { return r.Header.Get("Traceparent") }

// jsonOrNil returns text, or nil if it is empty or null.
func jsonOrNil(text []byte) json.RawMessage {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	return text
}

func (h *Handler) largestMessage() int {
	if most := h.gateway.Limits().MessageBytes; most > 0 {
		return most
	}
	return unlimitedBody
}
