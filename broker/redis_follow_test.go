package broker

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// mapped is a topology whose masters the test names, and whose servers keep whoever dials
// them waiting.
type mapped struct {
	topology
	masters map[string]string // addresses by prefix

	// Guarded by mu.
	mu      sync.Mutex
	dialing map[string]int // by address, how many wait
}

func (m *mapped) address(prefix string) (string, error) { return m.masters[prefix], nil }

func (m *mapped) dial(ctx context.Context, address string) (net.Conn, error) {
	m.add(address, 1)
	defer m.add(address, -1)
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m *mapped) add(address string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dialing[address] += n; m.dialing[address] == 0 {
		delete(m.dialing, address)
	}
}

func (m *mapped) dialed() map[string]int {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.dialing)
}

func TestFollower_KeepsALinkWhosePartitionsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(RedisConfig{}.withDefaults(), newRedisNames("tidegate:", 2, true), redisTarget{})
		of := func(first, second string) map[string]string {
			return map[string]string{s.prefixes[0]: first, s.prefixes[1]: second}
		}
		m := &mapped{dialing: make(map[string]int)}
		s.topology = m
		all := newPartitions(s, 0)
		f := newFollower(s, newBoard(s.log, all, len(all)))
		ctx, cancel := context.WithCancel(t.Context())
		defer f.wait.Wait()
		defer cancel()
		for _, c := range []struct {
			masters map[string]string
			dialed  map[string]int
		}{
			{of("a", "b"), map[string]int{"a": 1, "b": 1}},
			{of("b", "a"), map[string]int{"a": 1, "b": 1}},
			{of("a", "a"), map[string]int{"a": 1}},
		} {
			m.masters = c.masters
			f.follow(ctx)
			if got := m.dialed(); !maps.Equal(got, c.dialed) {
				t.Errorf("with the masters %v, links are open to %v, want %v", c.masters, got, c.dialed)
			}
			for _, p := range all {
				l := f.links[m.masters[p.prefix]]
				if l == nil || !slices.Contains(l.carried(), p) {
					t.Errorf("with the masters %v, partition %d has no link", c.masters, p.index)
				}
			}
		}
	})
}
