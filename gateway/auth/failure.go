package auth

import (
	"errors"
	"fmt"

	"tidegate/gateway"
)

// Labels of refusals in metrics.
const (
	expired      = "expired"
	notYetValid  = "not_yet_valid"
	signature    = "signature"
	algorithm    = "algorithm"
	issuer       = "issuer"
	audience     = "audience"
	malformed    = "malformed"
	unknownKey   = "unknown_key"
	tooLong      = "too_long"
	unreachable  = "unavailable"
	unclassified = "other" // not an error of this package
)

// FailureLabels returns all values that FailureLabel can return.
func FailureLabels() []string {
	return []string{
		expired, notYetValid, signature, algorithm, issuer, audience,
		malformed, unknownKey, tooLong, unreachable, unclassified,
	}
}

// failure is a refusal with its label.
type failure struct {
	label string
	err   *gateway.Error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// FailureLabel returns the metrics label of an error of Authenticate, one of FailureLabels.
// For any other error it returns "other".
func FailureLabel(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.label
	}
	return unclassified
}

func refuse(label, format string, args ...any) error {
	return &failure{label, &gateway.Error{Code: gateway.Unauthenticated, Message: fmt.Sprintf(format, args...)}}
}

// refuseExpired refuses a token that had expired when it was sent. The session ends with
// the reason of an expired token, but with the close code of any invalid token.
func refuseExpired(message string) error {
	reason := gateway.TokenExpired.With(message)
	reason.Code = gateway.NotAuthentic.Code
	return &failure{expired, &gateway.Error{Code: gateway.Unauthenticated, Message: message, Reason: reason}}
}
