package main

import (
	"net"
	"os"
	"time"
)

// supervisor is the program that has started this process and wants to hear how it is, as
// systemd does of services of Type=notify (sd_notify(3)). The zero value is none.
type supervisor struct{ socket string }

// whoStarted returns the supervisor that the environment names.
func whoStarted() supervisor { return supervisor{os.Getenv("NOTIFY_SOCKET")} }

// notify says a state, such as "READY=1". Nobody waits for it, and it may fail.
func (s supervisor) notify(state string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}

const readyCheck = 100 * time.Millisecond
