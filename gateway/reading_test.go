package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// library is a history whose reads block until they are released. It records how many of them
// run at a time, by the first word of the channel.
type library struct {
	*broker.Memory
	open  chan struct{} // closed to release them
	letGo func()

	mu    sync.Mutex
	under map[string]int
}

func (l *library) read(channel string) func() {
	whose, _, _ := strings.Cut(channel, ":")
	l.mu.Lock()
	l.under[whose]++
	l.mu.Unlock()
	<-l.open
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.under[whose]--
	}
}

func (l *library) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (broker.Page, error) {
	defer l.read(channel)()
	return l.Memory.Since(ctx, channel, after, most)
}

func (l *library) Latest(ctx context.Context, channel string, most broker.Most) (broker.Page, error) {
	defer l.read(channel)()
	return l.Memory.Latest(ctx, channel, most)
}

func (l *library) underWay(whose string) int {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.under[whose]
}

func startLibrary(t *testing.T, limits gateway.Limits) (*node, *library) {
	l := &library{Memory: broker.NewMemory(), open: make(chan struct{}), under: make(map[string]int)}
	l.letGo = sync.OnceFunc(func() { close(l.open) })
	n := startNode(t, gateway.Config{
		Broker: l, History: l, Limits: limits,
		Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 10}},
	})
	t.Cleanup(l.letGo) // before the node ends
	return n, l
}

func TestReading_OneClientHasAFewReadsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLibrary(t, gateway.Limits{CommandsPerSecondPerIP: 1000})
		var requests sync.WaitGroup
		ask := func(user, remote, channel string) {
			requests.Go(func() {
				p := &gateway.Principal{User: user}
				if err := n.Budget.Read(t.Context(), p, remote, func() error {
					_, err := n.ReadHistory(t.Context(), p, gateway.History{Channel: channel})
					return err
				}); err != nil {
					t.Errorf("%s: %v", channel, err)
				}
			})
		}
		for i := range 5 {
			alice := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}, Remote: "192.0.2.1:1"})
			alice.send("history alice:%d", i)
			ask("alice", "192.0.2.1:2", fmt.Sprint("alice:request", i))
			ask("bob", "192.0.2.1:3", fmt.Sprint("bob:", i))
			ask("", "192.0.2.1:4", fmt.Sprint("nobody:", i))
		}
		ask("carol", "192.0.2.9:1", "carol:1")
		near := l.underWay("alice") + l.underWay("bob") + l.underWay("nobody")
		if alice := l.underWay("alice"); alice > 2 || near > 4 {
			t.Errorf("%d reads of alice's and %d from her address are under way, want 2 and 4 at most", alice, near)
		}
		if got := l.underWay("carol"); got != 1 {
			t.Errorf("%d of another client's reads are under way, want 1", got)
		}
		l.letGo()
		requests.Wait()
	})
}

func TestReading_ResumesTakeTurnsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLibrary(t, gateway.Limits{})
		var alices []*peer
		for i := range 5 {
			n.publish(fmt.Sprint("alice:", i), "first")
			alice := n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
			alice.send("subrecent alice:%d 5", i)
			synctest.Wait()
			alices = append(alices, alice)
		}
		bob := n.connect(gateway.Hello{Principal: gateway.Principal{User: "bob"}})
		bob.send("subrecent alice:4 5") // must not wait for alice's reads
		if got := l.underWay("alice"); got != 3 {
			t.Errorf("%d reads are under way, want 2 of alice's and one of bob's", got)
		}
		l.letGo()
		for i, alice := range alices {
			alice.expect(fmt.Sprintf("message alice:%d first", i))
		}
		bob.expect("message alice:4 first")
	})
}

func TestReading_WhoWaitsTooLongIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLibrary(t, gateway.Limits{})
		peers := make([]*peer, 3)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{Principal: gateway.Principal{User: "alice"}})
			peers[i].send("history alice:%d", i)
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		peers[2].expect("error rate_limited")
		l.letGo()
		synctest.Wait()
	})
}
