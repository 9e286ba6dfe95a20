package api

import (
	"fmt"
	"tidegate/gateway"
)

func fail(code gateway.Code, format string, args ...any) error {
	return &gateway.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unsupportedMedia is a bad request that gets status 415.
type unsupportedMedia struct{ error }

func (e unsupportedMedia) Unwrap() error { return e.error }
