//go:build !linux

package main

import (
	"net"
	"time"
)

// listening leaves most options at the system's defaults.
var listening = net.ListenConfig{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
}
