package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeRedis answers as Redis does, but for what the test says.
type fakeRedis struct {
	URL string

	// Fixed at birth. odd returns what to say in place of the answer to a command,
	// and whether it does; it may be called concurrently.
	odd func(command []string) (answer string, does bool)

	// Guarded by mu.
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

func startFakeRedis(t testing.TB, odd func([]string) (string, bool)) *fakeRedis {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &fakeRedis{URL: "redis://" + l.Addr().String(), odd: odd, conns: make(map[net.Conn]struct{})}
	var wait sync.WaitGroup
	wait.Go(func() { f.accept(l, &wait) })
	t.Cleanup(func() {
		l.Close()
		f.end()
		wait.Wait()
	})
	return f
}

func (f *fakeRedis) accept(l net.Listener, wait *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[conn] = struct{}{}
		if f.ended {
			conn.Close()
		}
		f.mu.Unlock()
		wait.Go(func() { f.serve(conn) })
	}
}

func (f *fakeRedis) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for conn := range f.conns {
		conn.Close()
	}
}

func (f *fakeRedis) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.conns, conn)
	}()
	r := bufio.NewReader(conn)
	subscribed := 0
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		answer, odd := f.odd(command)
		if !odd {
			answer = soundAnswer(command, &subscribed)
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readLength(r, '*')
	if err != nil {
		return nil, err
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
	command[0] = strings.ToLower(command[0])
	return command, nil
}

func readLength(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind {
		return 0, fmt.Errorf("%q is no %c", line, kind)
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

func soundAnswer(command []string, subscribed *int) string {
	switch command[0] {
	case "subscribe", "unsubscribe":
		var s strings.Builder
		for _, name := range command[1:] {
			*subscribed++
			fmt.Fprintf(&s, ">3\r\n%s%s:%d\r\n", bulk(command[0]), bulk(name), *subscribed)
		}
		return s.String()
	case "hello":
		said := bulk("server") + bulk("redis") + bulk("role") + bulk("master") + bulk("modules") + "*0\r\n"
		if command[1] == "3" {
			return "%3\r\n" + said
		}
		return "*6\r\n" + said
	case "del":
		return ":0\r\n"
	case "publish":
		return ":1\r\n"
	case "evalsha", "eval":
		return bulk("k3:1")
	case "script":
		return bulk("0123456789012345678901234567890123456789")
	case "info":
		return bulk("run_id:0123456789012345678901234567890123456789\r\n")
	}
	return "-ERR unknown command\r\n"
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
