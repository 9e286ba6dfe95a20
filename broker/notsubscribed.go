package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// NotSubscribed is the error of a Subscribe: why, by channel.
type NotSubscribed map[string]error

// Error names one of the channels, and its reason.
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

// WhyNot returns why a channel is not subscribed, given what Subscribe returned
// for it and perhaps others; nil: it is.
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

func (n *NotSubscribed) add(channel string, why error) {
	if *n == nil {
		*n = make(NotSubscribed)
	}
	(*n)[channel] = why
}

// orNil returns the error of a Subscribe.
func (n NotSubscribed) orNil() error {
	if len(n) == 0 {
		return nil
	}
	return n
}
