//go:build !linux

package main

import "syscall"

// bound leaves to the system what Linux is told.
func bound(_, _ string, _ syscall.RawConn) error { return nil }
