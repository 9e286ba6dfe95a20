package simredis

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ownCommands are those that miniredis does not have, or not as a server of many does.
// Each returns the answer; they are called with mu held.
var ownCommands = map[string]func(s *Server, p *peer, command []string) string{
	"HELLO":        (*Server).hello,
	"SUBSCRIBE":    (*Server).subscribe,
	"UNSUBSCRIBE":  (*Server).unsubscribe,
	"SSUBSCRIBE":   (*Server).subscribe,
	"SUNSUBSCRIBE": (*Server).unsubscribe,
	"PUBLISH":      (*Server).publishOutside,
	"SPUBLISH":     (*Server).publishOutside,
	"EVAL":         (*Server).eval,
	"EVALSHA":      (*Server).evalSHA,
	"SCRIPT":       (*Server).loadScript,
	"WAIT":         func(*Server, *peer, []string) string { return ":0\r\n" },
}

// hello says who is there, and in which protocol it goes on.
func (s *Server) hello(p *peer, command []string) string {
	if len(command) < 2 || command[1] != "2" && command[1] != "3" {
		return "-NOPROTO unsupported protocol version\r\n"
	}
	role := "master"
	if s.replica {
		role = "replica"
	}
	p.parser.Resp3 = command[1] == "3"
	said := bulk("server") + bulk("redis") + bulk("version") + bulk("7.2.0") + bulk("proto") + ":" + command[1] + "\r\n" +
		bulk("id") + ":1\r\n" + bulk("mode") + bulk("standalone") + bulk("role") + bulk(role) + bulk("modules") + "*0\r\n"
	if p.parser.Resp3 {
		return "%7\r\n" + said
	}
	return "*14\r\n" + said
}

// info tells what a section of INFO does, whichever it is.
func (s *Server) info() string {
	role := "master"
	if s.replica {
		role = "slave"
	}
	return fmt.Sprintf("# Server\r\nredis_version:7.2.0\r\nrun_id:%s\r\n# Replication\r\nrole:%s\r\nconnected_slaves:0\r\n", s.runID, role)
}

func bulk(s string) string { return "$" + strconv.Itoa(len(s)) + "\r\n" + s + "\r\n" }

// readCommand reads an array of strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r, '*')
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, errNoCommand
	}
	command := make([]string, n)
	for i := range command {
		length, err := readLength(r, '$')
		if err != nil {
			return nil, err
		}
		text := make([]byte, length+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:length])
	}
	return command, nil
}

var errNoCommand = fmt.Errorf("not a command")

func readLength(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%w: %.40q", errNoCommand, line)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
