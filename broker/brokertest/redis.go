package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisServer is a Redis server, private to a test. Unless stated otherwise, its methods must
// not be called concurrently, and fail the test on errors.
type RedisServer struct {
	Addr string // host:port, on loopback
	Dir  string // its data directory

	t       testing.TB
	args    []string
	process *exec.Cmd     // nil while stopped
	exited  chan struct{} // closed when process has exited
}

// StartRedis starts redis-server with additional arguments, and stops it when the test ends. It
// needs redis-server; see RequireRedis.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := newRedisServer(t)
	s.args = append(s.args, args...)
	s.Start()
	return s
}

func newRedisServer(t testing.TB) *RedisServer {
	t.Helper()
	RequireRedis(t)
	s := &RedisServer{Addr: FreeAddress(t), Dir: t.TempDir(), t: t}
	s.args = []string{"--port", port(s.Addr), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.Dir}
	t.Cleanup(s.Stop)
	return s
}

// RequireRedis skips the test if redis-server is not installed, or fails it if the environment
// has CI set, too. Without redis-server, package simredis runs the conformance suite.
func RequireRedis(t testing.TB) {
	t.Helper()
	FindProgram(t, "redis-server")
}

// FreeAddress returns a loopback address, host:port, with a free TCP port, and reserves it until
// the test ends: the port is below the range that the kernel uses for connections, and
// FreeAddress holds the UDP port of the same number, which keeps other tests from taking it. It is
// for servers that cannot be given a socket, or that are started again at their address.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const least, most = 10_000, 32_000
	for range 100 {
		address := fmt.Sprint("127.0.0.1:", least+rand.IntN(most-least))
		if held, ok := hold(address); ok {
			t.Cleanup(func() { held.Close() })
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// hold opens the UDP port of an address, if its TCP port is free, too.
func hold(address string) (held net.PacketConn, ok bool) {
	held, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, false
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		held.Close()
		return nil, false
	}
	l.Close()
	return held, true
}

// URL returns the URL of the server for a broker.
func (s *RedisServer) URL() string { return "redis://" + s.Addr }

// Start starts the server again after Stop, at the same address, and waits until it responds.
func (s *RedisServer) Start() {
	s.t.Helper()
	process := exec.Command("redis-server", s.args...)
	var output bytes.Buffer
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		process.Wait()
		close(exited)
	}()
	s.process, s.exited = process, exited
	Eventually(s.t, "redis-server to answer", func() bool {
		select {
		case <-exited:
			s.t.Fatalf("redis-server has ended:\n%s", output.String())
		default:
		}
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return false
		}
		conn.Close()
		_, err = s.do("PING")
		return err == nil
	})
}

// Stop kills the server: it loses its data, and its connections are reset.
func (s *RedisServer) Stop() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	<-s.exited
	s.process = nil
}

// Runs reports whether the server's process has been started and not stopped.
func (s *RedisServer) Runs() bool { return s.process != nil }

// Pause suspends the server: connections stay open, but it does not reply.
func (s *RedisServer) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *RedisServer) Resume() { s.signal(syscall.SIGCONT) }

func (s *RedisServer) signal(signal syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatal("only a server that runs can be paused")
	}
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatalf("%v to redis-server: %v", signal, err)
	}
}

// Forget does what Subject.Forget says: it saves the data, calls do, and restarts the server
// with the saved data.
func (s *RedisServer) Forget(do func()) {
	s.CLI("SAVE")
	do()
	s.Stop()
	s.Start()
}

// Flush removes all keys.
func (s *RedisServer) Flush() {
	s.t.Helper()
	s.CLI("FLUSHALL")
}

// CLI runs one command and returns the reply as redis-cli prints it to a pipe: one line for
// each element.
func (s *RedisServer) CLI(args ...string) string {
	s.t.Helper()
	answer, err := s.do(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %q: %v", args, err)
	}
	return answer
}

// Try is like CLI for a server that may not respond: it times out and returns errors. It is
// safe for concurrent use.
func (s *RedisServer) Try(args ...string) (string, error) {
	return s.ask(&redis.Options{DialTimeout: tryTimeout, ReadTimeout: tryTimeout}, args)
}

const tryTimeout = time.Second

func (s *RedisServer) do(args ...string) (string, error) { return s.ask(&redis.Options{}, args) }

func (s *RedisServer) ask(o *redis.Options, args []string) (string, error) {
	o.Addr, o.Protocol, o.MaxRetries, o.DialerRetries = s.Addr, 2, -1, 1
	client := redis.NewClient(o)
	defer client.Close()
	command := make([]any, len(args))
	for i, arg := range args {
		command[i] = arg
	}
	answer, err := client.Do(context.Background(), command...).Result()
	if err != nil && err != redis.Nil {
		return "", err
	}
	return strings.Join(lines(answer), "\n"), nil
}

func lines(answer any) []string {
	list, ok := answer.([]any)
	if !ok {
		return []string{fmt.Sprint(answer)}
	}
	var all []string
	for _, one := range list {
		all = append(all, lines(one)...)
	}
	return all
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
