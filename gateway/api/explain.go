package api

import "tidegate/gateway"

// actor identifies the client that a request is about: the owner of a token or API key, a
// user without a token, or an anonymous client if both fields are empty.
type actor struct {
	User  string `json:"user"`
	Token string `json:"token"`
}

func (h *Handler) principalOf(r *request, a actor) (gateway.Principal, error) {
	switch {
	case a.User != "" && a.Token != "":
		return gateway.Principal{}, fail(gateway.BadRequest, "give one of user and token: a token says who its user is")
	case a.Token == "":
		return gateway.Principal{User: a.User}, nil
	}
	p, err := h.gateway.Authenticate(r.Context(), a.Token)
	if e := gateway.ErrorOf(err); err != nil && e.Code == gateway.Unauthenticated {
		return p, fail(gateway.BadRequest, "the token in the body: %s", e.Message)
	}
	return p, err
}

type explainRequest struct {
	Channel string `json:"channel"`
	actor
}

// explain returns which rule and which claim decide. It has no other effect.
func (h *Handler) explain(r *request) (any, error) {
	var asked explainRequest
	if err := r.decode(maxDenial, &asked); err != nil {
		return nil, err
	}
	p, err := h.principalOf(r, asked.actor)
	if err != nil {
		return nil, err
	}
	e, err := h.gateway.Explain(&p, asked.Channel)
	if err != nil {
		return nil, err
	}
	return e, nil
}
