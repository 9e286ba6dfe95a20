package main

import (
	"net"
	"os"
	"time"
)

// supervisor returns the socket of the program that started this process and wants to know its
// state, such as systemd for services of Type=notify (sd_notify(3)), or "" if there is none.
func supervisor() string { return os.Getenv("NOTIFY_SOCKET") }

// notifySupervisor sends a state, such as "READY=1". It does not wait for an answer.
func notifySupervisor(state string) error {
	if supervisor() == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: supervisor(), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}

const readyCheck = 100 * time.Millisecond
