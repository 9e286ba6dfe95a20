package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// NotSubscribed is the error of Subscribe: for each channel that is not subscribed, the
// reason.
type NotSubscribed map[string]error

// Error names one of the channels and its reason.
func (n NotSubscribed) Error() string {
	for channel, err := range n {
		if len(n) == 1 {
			return fmt.Sprintf("subscribe %q: %v", channel, err)
		}
		return fmt.Sprintf("subscribe %q and %d others: %v", channel, len(n)-1, err)
	}
	return "all are subscribed"
}

// Unwrap returns the reasons, for package errors.
func (n NotSubscribed) Unwrap() []error { return slices.Collect(maps.Values(n)) }

// WhyNot takes the error that Subscribe returned for channel and perhaps others. It returns
// why channel is not subscribed, or nil if it is.
func WhyNot(err error, channel string) error {
	not, some := errors.AsType[NotSubscribed](err)
	if !some {
		return err
	}
	if why := not[channel]; why != nil {
		return fmt.Errorf("subscribe %q: %w", channel, why)
	}
	return nil
}

// orNil returns n as an error, or nil if it is empty.
func (n NotSubscribed) orNil() error {
	if len(n) == 0 {
		return nil
	}
	return n
}
