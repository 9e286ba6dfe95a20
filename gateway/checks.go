package gateway

import "tidegate/gateway/rules"

// checkUser returns an error if user is not a valid name. No token can carry an invalid name,
// so a command about it would concern nobody.
func checkUser(user string) error {
	if user == "" {
		return failf(BadRequest, "the user is missing")
	}
	if err := rules.CheckChannel(rules.PersonalChannel(user)); err != nil {
		return failf(BadRequest, "nobody can be the user %.80q: as the name of a channel, %v", user, err)
	}
	return nil
}
