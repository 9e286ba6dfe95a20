//go:build !linux

package config

// machineMemory returns an amount that is safe to assume.
func machineMemory() int64 { return 4 << 30 }
