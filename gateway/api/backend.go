package api

import "tidegate/gateway"

// forBackends refuses requests without an unrestricted API key.
func forBackends(serve endpoint) endpoint {
	return func(r *request) (any, error) {
		switch p := r.by; {
		case p.Scope != nil:
			return nil, fail(gateway.Forbidden, "the API key %s is good for channels alone: this takes one without channels and allow", p.Key)
		case p.Backend():
			return serve(r)
		case p.User == "":
			return nil, fail(gateway.Unauthenticated, "this takes an API key: configure auth.api_keys and send Authorization: Bearer KEY")
		}
		return nil, fail(gateway.Forbidden, "this takes an API key, and the credential is a client's token")
	}
}
