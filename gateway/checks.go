package gateway

import "tidegate/gateway/rules"

// checkUser returns what is wrong with a user's name. No token can have a name that is
// wrong, so that a command about it would be about nobody.
func checkUser(user string) error {
	if user == "" {
		return failf(BadRequest, "the user is missing")
	}
	if err := rules.CheckChannel(rules.PersonalChannel(user)); err != nil {
		return failf(BadRequest, "nobody can be the user %.80q: as the name of a channel, %v", user, err)
	}
	return nil
}
