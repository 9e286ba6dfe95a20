//go:build !unix

package bench

import "net"

func write(conn net.Conn, _ int, frame []byte) error {
	_, err := conn.Write(frame)
	return err
}
