package api

import "tidegate/gateway"

// forBackends refuses requests without an unrestricted API key.
func forBackends(serve endpoint) endpoint {
	return func(r *request) (any, error) {
		if err := mustBeBackend(r.by); err != nil {
			return nil, err
		}
		return serve(r)
	}
}

func mustBeBackend(p *gateway.Principal) error {
	switch {
	case p.Scope != nil:
		return fail(gateway.Forbidden, "the API key %s is good for channels alone: this takes one without channels and allow", p.Key)
	case p.Backend():
		return nil
	case p.User == "":
		return fail(gateway.Unauthenticated, "this takes an API key: configure auth.api_keys and send Authorization: Bearer KEY")
	default:
		return fail(gateway.Forbidden, "this takes an API key, and the credential is a client's token")
	}
}
