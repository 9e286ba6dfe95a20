package simredis

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2/proto"
)

// readCommand reads a command: a RESP array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "*"))
	if err != nil || n < 1 {
		return nil, fmt.Errorf("not a command: %.40q", line)
	}
	command := make([]string, n)
	for i := range command {
		text, err := proto.Read(r)
		if err != nil {
			return nil, err
		}
		_, text, _ = strings.Cut(text, "\r\n")
		command[i] = strings.TrimSuffix(text, "\r\n")
	}
	return command, nil
}
