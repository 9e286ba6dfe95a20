package gateway_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/broker/brokertest"
	"tidegate/gateway"
)

// BenchmarkAttendance_Storm has 10,000 users on one channel, on two nodes; some of them leave
// and return. It measures the cost of a change, a join or a leave, for both nodes together and
// for Redis, while a backend is notified about members and channels.
func BenchmarkAttendance_Storm(b *testing.B) {
	const users = 10_000
	nodes, server := startPresence(b, 0, presenceTimes{})
	for range 2 {
		nodes = append(nodes, startHookedNode(b, server, presenceTimes{lasting, time.Millisecond}, newOffice(nil)))
	}
	var sessions []*gateway.Session
	for i := range users {
		s, err := nodes[i%2].Open(b.Context(), gateway.Hello{
			Protocol: words{"words"}, Transport: "test", Principal: gateway.Principal{User: fmt.Sprint("user", i)},
		})
		must(b, err)
		p := newPeer(b)
		s.Attach(p)
		sessions = append(sessions, s)
	}
	say := func(i int, text string) {
		must(b, sessions[i%users].Receive(b.Context(), gateway.Frame{Data: []byte(text)}))
	}
	settle := func(want int) {
		for _, n := range nodes {
			for {
				members, err := n.Members(context.Background(), &backend, "quiet:a")
				if err == nil && len(members) == want {
					break
				}
				<-time.After(time.Millisecond)
			}
		}
	}
	for i := range users {
		say(i, "sub quiet:a")
	}
	settle(users)
	redis, own := redisSeconds(server), ownSeconds()
	b.ResetTimer()
	changes := 0
	for b.Loop() {
		const some = 1000
		for i := range some {
			say(i, "unsub quiet:a")
		}
		settle(users - some)
		for i := range some {
			say(i, "sub quiet:a")
		}
		settle(users)
		changes += 2 * some
	}
	b.ReportMetric((ownSeconds()-own)*1e6/float64(changes), "go-µs/change")
	b.ReportMetric((redisSeconds(server)-redis)*1e6/float64(changes), "redis-µs/change")
	b.ReportMetric(0, "ns/op")
}

// redisSeconds returns the CPU time that Redis has used, in seconds.
func redisSeconds(server *brokertest.RedisServer) (total float64) {
	for line := range strings.Lines(server.CLI("INFO", "cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, _ := strconv.ParseFloat(value, 64)
			total += seconds
		}
	}
	return total
}

// ownSeconds returns the CPU time that this process has used, in seconds.
func ownSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
