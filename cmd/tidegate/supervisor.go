package main

import (
	"net"
	"os"
	"time"
)

// supervisor is the program that started this process and wants to know its state, such as
// systemd for services of Type=notify (sd_notify(3)). The zero value means none.
type supervisor struct{ socket string }

// whoStarted returns the supervisor named by the environment.
func whoStarted() supervisor { return supervisor{os.Getenv("NOTIFY_SOCKET")} }

// notify sends a state, such as "READY=1". It does not wait for an answer.
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
