//go:build !unix

package bench

func (s *floorSession) write(frame []byte) error {
	_, err := s.conn.Write(frame)
	return err
}
