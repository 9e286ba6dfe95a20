package api

// listMembers returns the members of a channel. A client may see them if it may subscribe.
func (h *Handler) listMembers(r *request) (any, error) {
	return listed("members", memberOf)(h.gateway.Members(r.Context(), r.by, r.PathValue("channel")))
}
