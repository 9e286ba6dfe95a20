package broker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A replica accepts PUBLISH, and answers for its master's data: a node must know it for one.
func TestIntroduce_TellsAReplicaFromAMaster(t *testing.T) {
	for _, c := range []struct {
		role, link      string
		replica, synced bool
	}{
		{"master", "", false, false},
		{"slave", "up", true, true},
		{"replica", "up", true, true},
		{"slave", "down", true, false},
	} {
		client := redis.NewClient(&redis.Options{Addr: startRole(t, c.role, c.link), Protocol: 2})
		p, err := introduce(t.Context(), client)
		if err != nil || p.replica != c.replica || p.synced != c.synced || p.run != "r1" {
			t.Errorf("role %s, link %s: %+v, %v", c.role, c.link, p, err)
		}
		client.Close()
	}
}

// startRole starts a server that answers HELLO and INFO like a Redis in a role.
func startRole(t *testing.T, role, link string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	text := func(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
	info := map[string]string{
		"server":      "run_id:r1\r\nuptime_in_seconds:60\r\n",
		"replication": "role:" + role + "\r\nmaster_link_status:" + link + "\r\nmaster_replid:i1\r\n",
		"stats":       "total_net_repl_input_bytes:0\r\n",
	}
	answer := func(command []string) string {
		switch strings.ToLower(command[0]) {
		case "hello":
			return "*2\r\n" + text("role") + text(role)
		case "info":
			return text(info[command[1]])
		}
		return "+OK\r\n"
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for { // *N, then $LENGTH and the text N times
					var n, length int
					if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
						return
					}
					var command []string
					for range n {
						_, _ = fmt.Fscanf(r, "$%d\r\n", &length)
						text := make([]byte, length+2)
						_, _ = io.ReadFull(r, text)
						command = append(command, string(text[:length]))
					}
					fmt.Fprint(conn, answer(command))
				}
			}()
		}
	}()
	return l.Addr().String()
}
