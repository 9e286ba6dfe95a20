package gateway

import "unicode/utf8"

func checkUser(user string) error {
	switch {
	case user == "":
		return failf(BadRequest, "the user is missing")
	case len(user) > maxUser:
		return failf(BadRequest, "the user's name has %d bytes: at most %d are allowed", len(user), maxUser)
	case !utf8.ValidString(user):
		return failf(BadRequest, "the user's name is not UTF-8")
	}
	return nil
}

const maxUser = 255
