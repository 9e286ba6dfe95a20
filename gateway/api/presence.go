package api

import "tidegate/gateway"

// listMembers returns the members of a channel. A client may see them if it may subscribe.
func (h *Handler) listMembers(r *request) (any, error) {
	members, err := h.gateway.Members(r.Context(), r.by, r.PathValue("channel"))
	h.gateway.Budget.OweMembers(r.by, r.RemoteAddr, len(members))
	return listed[gateway.Member]("members")(members, err)
}
