package rates

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func take(b *Bucket, n int, c Cost) (passed int, last Verdict) {
	for range n {
		if last = b.Take(c); last == Enough {
			passed++
		}
	}
	return passed, last
}

func TestBucket_BurstIsOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name  string
			limit Limit
			cost  Cost
			want  Verdict
		}{
			{"commands", Limit{Commands: 10}, Cost{Commands: 1}, TooManyCommands},
			{"bytes", Limit{Bytes: 1000}, Cost{Commands: 1, Bytes: 100}, TooManyBytes},
		} {
			b := New(test.limit)
			for second := range 3 {
				if passed, verdict := take(b, 100, test.cost); passed != 10 || verdict != test.want {
					t.Errorf("%s, second %d: %d passed, then %v", test.name, second, passed, verdict)
				}
				time.Sleep(time.Second)
			}
		}
	})
}

func TestBucket_TheLargestMessageHasRoom(t *testing.T) {
	b := New(Limit{Bytes: 10, LargestByte: 1000})
	if v := b.Take(Cost{Bytes: 1000}); v != Enough {
		t.Errorf("the largest message: %v", v)
	}
	if v := b.Take(Cost{Bytes: 1}); v != TooManyBytes {
		t.Errorf("another byte: %v", v)
	}
}

func TestBucket_AMessageLargerThanTheBurstIsPaidForAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Limit{Bytes: 10})
		if v := b.Take(Cost{Bytes: 1000}); v != Enough {
			t.Errorf("a large message: %v", v)
		}
		time.Sleep(99 * time.Second)
		if v := b.Take(Cost{Bytes: 1}); v != TooManyBytes {
			t.Errorf("another byte before it is paid for: %v", v)
		}
		time.Sleep(time.Second)
		if v := b.Take(Cost{Bytes: 1000}); v != Enough {
			t.Errorf("another large message: %v", v)
		}
	})
}

func TestTable_NewChannelsAreBoundedAndKnownOnesAreNot(t *testing.T) {
	table := NewTable(Limit{NewChannels: 1, Channels: 20}, Limit{NewChannels: 1, Channels: 30})
	one, other := table.Own(), table.Own()
	all := table.Address(netip.MustParsePrefix("192.0.2.1/32"))
	for i := range 20 {
		if table.TakeChannel(fmt.Sprint(i), one, all) != nil {
			t.Fatalf("channel %d has no room", i)
		}
	}
	if table.TakeChannel("one more", one, all) != one {
		t.Error("one more has room")
	}
	for i := range 100 {
		if by := []*Bucket{one, other, nil}[i%3]; table.TakeChannel("7", by, all) != nil {
			t.Fatal("a known channel has no room")
		}
	}
	for i := range 10 {
		if table.TakeChannel(fmt.Sprint("new ", i), other, all) != nil {
			t.Fatalf("new channel %d has no room", i)
		}
	}
	if table.TakeChannel("one more", other, all) != all {
		t.Error("one more than the address may open has room")
	}
}

func TestBucket_WhoOwesWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Limit{Commands: 10})
		began := time.Now()
		for range 30 {
			time.Sleep(b.Owe(1))
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("30 commands at 10 a second took %v, want 2 s after the burst", took)
		}
	})
}

func TestTable_SharesTheBucketsOfUsersAndAddresses(t *testing.T) {
	table := NewTable(Limit{Commands: 2}, Limit{Commands: 3})
	network := netip.MustParsePrefix("192.0.2.1/32")
	for name, pair := range map[string][2]*Bucket{
		"a user":              {table.User("alice"), table.User("alice")},
		"an address":          {table.Address(network), table.Address(network)},
		"nameless at one":     {table.Nameless(network), table.Nameless(network)},
		"an unknown address ": {table.Address(netip.Prefix{}), nil},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s has two buckets", name)
		}
	}
	if table.User("bob") == table.User("alice") || table.Address(network) == table.Nameless(network) {
		t.Error("different principals share a bucket")
	}
}

// Clients that come from ever new addresses, or as ever new users, do not grow the table.
func TestTable_KeepsNoMoreThanSoMany(t *testing.T) {
	table := NewTable(Limit{Commands: 2}, Limit{})
	held := table.User("held")
	table.Release(held)
	held = table.User("held")
	held.Take(Cost{Commands: 2})
	for n := range 2 * MostLet {
		b := table.User(fmt.Sprint(n))
		b.Take(Cost{Commands: 1})
		table.Release(b)
	}
	if n := len(table.buckets); n > MostLet+1 {
		t.Errorf("%d buckets are kept, want %d at most", n, MostLet+1)
	}
	if again := table.User("held"); again != held {
		t.Error("a bucket that is held was forgotten")
	}
	for range 2 * MostLet { // one user comes again and again
		table.Release(table.User("0"))
	}
	if n := len(table.let); n > MostLet {
		t.Errorf("%d are in line, want %d at most", n, MostLet)
	}
}

// TestTable_ABucketTakesNoMoreThanItsBytes measures users with the longest names who use
// everything.
func TestTable_ABucketTakesNoMoreThanItsBytes(t *testing.T) {
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	const many = 1000
	l := Limit{Commands: 1000, Bytes: 1000, NewChannels: 1000, Reads: 2}
	table, before := NewTable(l, l), heap()
	for user := range many {
		b := table.User(fmt.Sprintf("%0255d", user))
		b.Take(Cost{Commands: 1, Bytes: 1})
		table.TakeChannel(fmt.Sprint(user), b)
		b.TryRead()
		table.Release(b)
	}
	if each := (heap() - before) / many; each > BucketBytes {
		t.Errorf("a bucket takes %d bytes, want %d at most", each, BucketBytes)
	}
	runtime.KeepAlive(table)
}

// A bucket stays while bytes are held for its address, even if nobody holds the bucket.
func TestTable_KeepsWhatBytesAreHeldFor(t *testing.T) {
	table, network := NewTable(Limit{}, Limit{Held: 10}), netip.MustParsePrefix("192.0.2.1/32")
	b := table.Address(network)
	if !b.Hold(7) || b.Hold(4) || !b.Hold(3) {
		t.Error("10 bytes have no room, or more have")
	}
	table.Release(b)
	table.Sweep(time.Now())
	if again := table.Address(network); again != b {
		t.Error("the bucket was forgotten")
	}
	b.LetGo(10)
	table.Release(b)
	table.Sweep(time.Now())
	if n := len(table.buckets); n != 0 {
		t.Errorf("%d buckets are left", n)
	}
}

func TestTable_ForgetsWhatIsFullAndNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(Limit{Commands: 2}, Limit{})
		held, spent, full := table.User("held"), table.User("spent"), table.User("full")
		spent.Take(Cost{Commands: 1})
		table.Release(spent)
		table.Release(full)
		table.Sweep(time.Now())
		if n := len(table.buckets); n != 2 {
			t.Errorf("%d buckets after the first sweep, want the one held and the one spent", n)
		}
		if again := table.User("spent"); again != spent {
			t.Error("who comes back has a bucket that is full again")
		} else {
			table.Release(again)
		}
		time.Sleep(time.Second)
		table.Sweep(time.Now())
		table.Release(held)
		table.Sweep(time.Now())
		if n := len(table.buckets); n != 0 {
			t.Errorf("%d buckets are left", n)
		}
	})
}
