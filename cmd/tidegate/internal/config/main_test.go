package config

import (
	"testing"

	"go.uber.org/goleak"
)

// Reading and validating a configuration leaves nothing running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
