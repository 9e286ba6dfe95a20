package api

import (
	"strconv"

	"tidegate/gateway"
)

func (h *Handler) readHistory(r *request) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	found, err := h.gateway.ReadHistory(r.Context(), r.by, gateway.History{
		Channel: r.PathValue("channel"), Cursor: r.URL.Query().Get("cursor"), Limit: limit,
	})
	if err != nil {
		return nil, err
	}
	answer := page{Messages: make([]message, len(found.Messages)), Cursor: found.Cursor()}
	for i := range found.Messages {
		answer.Messages[i] = messageOf(&found.Messages[i])
	}
	if found.Lost {
		answer.Recovered = new(bool)
	}
	return answer, nil
}

// limitOf returns the number of messages wanted; 0 means as many as possible.
func limitOf(r *request) (int, error) {
	given := r.URL.Query().Get("limit")
	if given == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(given)
	if err != nil || limit < 1 {
		return 0, fail(gateway.BadRequest, "limit is not a whole number above 0")
	}
	return limit, nil
}

// clearHistory deletes the messages of a channel's history. Subscribers do not notice.
func (h *Handler) clearHistory(r *request) (any, error) {
	return nil, h.gateway.ClearHistory(r.Context(), r.PathValue("channel"))
}
