package api

import (
	"fmt"
	"tidegate/gateway"
)

func fail(code gateway.Code, format string, args ...any) error {
	return &gateway.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
