package config

import (
	"testing"

	"go.uber.org/goleak"
)

// Reading and validating a configuration must leave no goroutine running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
