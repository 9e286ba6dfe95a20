package api

import (
	"strconv"

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
	return found, nil
}
