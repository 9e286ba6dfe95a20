//go:build lockorder

package lock

import (
	"strings"
	"testing"
)

func TestOrder_IsChecked(t *testing.T) {
	var (
		first, second Mutex[Joining]
		channel       Mutex[Channel]
		other         Mutex[Channel]
		shard         RWMutex[Shard]
	)
	tests := []struct {
		name string
		take func()
		want string // in what is wrong; "": nothing is
	}{
		{"outer then inner", func() { channel.Lock(); shard.RLock(); shard.RUnlock(); channel.Unlock() }, ""},
		{"one after the other", func() { shard.Lock(); shard.Unlock(); channel.Lock(); channel.Unlock() }, ""},
		{"released in the order taken", func() {
			channel.Lock()
			shard.Lock()
			channel.Unlock()
			shard.Unlock()
			channel.Lock()
			channel.Unlock()
		}, ""},
		{"several of Joining", func() { first.Lock(); second.Lock(); second.Unlock(); first.Unlock() }, ""},
		{"inner then outer", func() { shard.Lock(); channel.Lock(); channel.Unlock(); shard.Unlock() }, "lock.Channel is taken by a goroutine that holds lock.Shard"},
		{"read inner then outer", func() { shard.RLock(); channel.Lock(); channel.Unlock(); shard.RUnlock() }, "lock.Channel is taken by a goroutine that holds lock.Shard"},
		{"two of one place", func() { channel.Lock(); other.Lock(); other.Unlock(); channel.Unlock() }, "lock.Channel is taken by a goroutine that holds lock.Channel"},
		{"another goroutine's do not count", func() {
			shard.Lock()
			done := make(chan struct{})
			go func() { channel.Lock(); channel.Unlock(); close(done) }()
			<-done
			shard.Unlock()
		}, ""},
	}
	end := wrong
	defer func() { wrong = end }()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			said := ""
			wrong = func(what string) { said = what }
			test.take()
			if (said == "") != (test.want == "") || !strings.HasPrefix(said, test.want) {
				t.Errorf("said %q, want %q", said, test.want)
			}
			if test.want != "" && !strings.Contains(said, "checked_test.go") {
				t.Errorf("does not say where: %s", said)
			}
		})
	}
}

func TestOrder_HasEachPlaceOnce(t *testing.T) {
	if len(ranks) != len(Order()) {
		t.Errorf("%d places stand in the order %d times", len(ranks), len(Order()))
	}
}
