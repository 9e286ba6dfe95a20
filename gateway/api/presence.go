package api

// listMembers returns the members of a channel. A client may see them if it may subscribe.
func (h *Handler) listMembers(r *request) (any, error) {
	found, err := h.gateway.Members(r.Context(), r.by, r.PathValue("channel"))
	if err != nil {
		return nil, err
	}
	answer := members{make([]member, len(found))}
	for i, m := range found {
		answer.Members[i] = member{m.User, m.Session, m.Info, m.Sessions}
	}
	return answer, nil
}
