package api

// listMembers answers with who is on a channel, to each client that may subscribe to it.
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
