//go:build !unix

package config

import "errors"

func descriptorLimit() (uint64, error) { return 0, errors.ErrUnsupported }
