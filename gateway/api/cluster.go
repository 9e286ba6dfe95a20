package api

import "tidegate/gateway"

// The endpoints in this file ask all nodes. If a live node does not answer in time,
// the status is 503.

// listChannels returns the channels that have subscribers.
func (h *Handler) listChannels(r *request) (any, error) {
	pattern := "*"
	if given := r.URL.Query(); given.Has("match") {
		pattern = given.Get("match")
	}
	return listed[gateway.ChannelInfo]("channels")(h.gateway.Nodes.Channels(r.Context(), pattern))
}

func (h *Handler) listSessions(r *request) (any, error) {
	list, err := h.gateway.Users.Sessions(r.Context(), r.PathValue("user"))
	return listed[session]("sessions")(converted(list, sessionOf), err)
}

func (h *Handler) listNodes(r *request) (any, error) {
	return listed[gateway.NodeInfo]("nodes")(h.gateway.Nodes.List(r.Context()))
}

func (h *Handler) disconnect(r *request) (any, error) {
	return reachedOf(h.gateway.Users.Disconnect(r.Context(), gateway.Whose{User: r.PathValue("user")}))
}

func (h *Handler) subscribe(r *request) (any, error) {
	if r.ContentLength != 0 {
		return nil, fail(gateway.BadRequest, "this request has no body: the path says who is subscribed, and to what")
	}
	return reachedOf(h.gateway.Users.Subscribe(r.Context(), gateway.Whose{User: r.PathValue("user")}, gateway.Grant{Channel: r.PathValue("channel")}))
}

func (h *Handler) unsubscribe(r *request) (any, error) {
	return reachedOf(h.gateway.Users.Unsubscribe(r.Context(), gateway.Whose{User: r.PathValue("user")}, r.PathValue("channel")))
}

// reachedOf returns the number of sessions reached, even if there was an error.
func reachedOf(count int, err error) (any, error) {
	switch {
	case err == nil:
		return reached{Sessions: count}, nil
	case count == 0:
		return nil, err
	default:
		return reached{gateway.ErrorOf(err), count}, err
	}
}
