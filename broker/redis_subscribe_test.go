package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// carried is a partition and the link that carries it, as if that had a connection.
type carried struct {
	*partition
	link *link
}

// asked is a request of a partition.
type asked struct{ *request }

func (q asked) wait(ctx context.Context) error {
	requests{q.request}.wait(ctx)
	return q.failed
}

func (q asked) giveUp(not NotSubscribed, reason error) { q.partition.giveUp(q.request, not, reason) }

func newCarried() carried {
	s := newServers(RedisConfig{}.withDefaults(), newRedisNames("tidegate:", 1, false), redisTarget{})
	c := carried{newPartitions(s, 0)[0], newLink(s, nil, "", nil)}
	c.partition.carrier.Store(c.link.carrier)
	c.begin(c.link.carrier)
	return c
}

func (c carried) ask(names ...string) asked {
	q := asked{&request{partition: c.partition}}
	for _, name := range names {
		q.names = append(q.names, c.prefix+name)
	}
	c.join(q.request)
	return q
}

// next returns the batch of subscribes that is to be sent now.
func (c carried) next() []joiner {
	_, batch, _ := c.nextSending(c.link.carrier)
	return batch
}

func (c carried) confirm(batch []joiner) { c.confirmed(c.link.carrier, c.life, batch) }

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("many:", i)
	}
	return names
}

func TestRequest_WaitsItsTurnWhileRedisAnswersOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newCarried()
		q := l.ask("a")
		go func() {
			for range 20 { // 10 s of others
				<-time.After(500 * time.Millisecond)
				l.link.answers.Add(1)
			}
			l.confirm(l.next())
		}()
		if err := q.wait(t.Context()); err != nil {
			t.Errorf("after a long queue: %v", err)
		}
	})
}

func TestRequest_FailsOnALinkThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newCarried()
		q := l.ask("a", "b")
		batch := l.next()
		l.link.answers.Add(1)
		l.confirm(batch[:1])
		began := time.Now()
		err := q.wait(t.Context())
		if took := time.Since(began); err != errNoAnswer || took > 2*answerTimeout {
			t.Errorf("%v after %v", err, took)
		}
		not := make(NotSubscribed)
		q.giveUp(not, err)
		if len(not) != 1 || not["b"] != errNoAnswer {
			t.Errorf("not subscribed: %v; want b alone", not)
		}
		if part, _, _ := l.nextSending(l.link.carrier); len(part) != 1 || !l.link.suspected.Swap(false) {
			t.Errorf("then %q is unsubscribed; want b, and a probe", part)
		}
	})
}

func TestRequest_EndsWithItsContextAndWithTheLink(t *testing.T) {
	l := newCarried()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := l.ask("a")
	if err := q.wait(ctx); err != context.Canceled {
		t.Errorf("%v, want that the context has ended", err)
	}
	q.giveUp(make(NotSubscribed), context.Canceled)
	q = l.ask("a", "b")
	reason := errors.New("away")
	l.fail(l.link.carrier, reason)
	if err := q.wait(t.Context()); err != reason {
		t.Errorf("%v, want that of the link", err)
	}
	if err := l.ask("a").wait(t.Context()); err != reason {
		t.Errorf("while the link is down: %v", err)
	}
}

func TestRequest_OfAChannelThatAnotherWaitsFor(t *testing.T) {
	l := newCarried()
	first, second := l.ask("a"), l.ask("a", "b")
	batch := l.next()
	l.confirm(batch[1:]) // b
	not := make(NotSubscribed)
	second.giveUp(not, second.wait(t.Context()))
	if len(not) != 1 || not["a"] != errBusy {
		t.Errorf("not subscribed: %v; want a alone", not)
	}
	l.confirm(batch[:1])
	if err := first.wait(t.Context()); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// However many come after the connection, what was subscribed before is restored as
// soon as it is confirmed.
func TestPartition_RestoringDoesNotWaitForTheNewest(t *testing.T) {
	l := newCarried()
	l.ask(manyNames(3 * subscribeBatch / 2)...)
	l.fail(l.link.carrier, errNoAnswer)
	l = carried{l.partition, l.link}
	l.err = nil
	l.ask(manyNames(3 * subscribeBatch / 2)...)
	l.begin(l.link.carrier)
	for batch, want := range []bool{false, true, false} {
		l.ask(fmt.Sprint("new:", batch))
		join := l.next()
		if _, _, early := l.takeMissed(l.link.carrier); len(join) == 0 || early {
			t.Errorf("batch %d has %d channels, and is taken for restored before it is confirmed: %v", batch, len(join), early)
		}
		l.confirm(join)
		if _, _, restored := l.takeMissed(l.link.carrier); restored != want {
			t.Errorf("after batch %d restored is %v, want %v", batch, restored, want)
		}
	}
}

// What a link says of a partition that another carries by now is about the past.
func TestPartition_HearsOnlyItsLink(t *testing.T) {
	l := newCarried()
	q := l.ask("a")
	batch := l.next()
	other := newLink(l.servers, nil, "", nil)
	l.handOver(other.carrier, errMoved)
	l.begin(other.carrier)
	again := l.ask("a")
	l.confirm(batch)
	if l.fail(l.link.carrier, errNoAnswer) {
		t.Error("the former link fails the partition")
	}
	if err := q.wait(t.Context()); err != errMoved {
		t.Errorf("who asked the former link hears %v", err)
	}
	if !again.waits() {
		t.Errorf("%v, want that who comes later waits for the other link", again.failed)
	}
	_, join, life := l.nextSending(other.carrier)
	l.confirmed(other.carrier, life, join)
	if err := again.wait(t.Context()); err != nil {
		t.Errorf("when the other link has subscribed it: %v", err)
	}
}

// A subscription that lingers ends soon: whoever comes back while the link is
// down must not take it for his own.
func TestRequest_FailsOnALinkThatIsDownWhereTheSubscriptionLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newCarried()
		q := l.ask("kept", "left")
		l.confirm(l.next())
		if err := q.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.fail(l.link.carrier, errNoAnswer)
		time.Sleep(time.Second)
		l.unsubscribe(l.prefix + "left")
		again := l.ask("kept", "left")
		err := again.wait(t.Context())
		not := make(NotSubscribed)
		again.giveUp(not, err)
		if len(not) != 1 || not["left"] != errNoAnswer {
			t.Errorf("not subscribed: %v; want what lingers", not)
		}
	})
}

// What Redis refuses to unsubscribe is asked for once a beat, and is bounded.
func TestPartition_TriesRefusedUnsubscribesAgainOnABeat(t *testing.T) {
	l := newCarried()
	parting := func() int {
		part, _, _ := l.nextSending(l.link.carrier)
		return len(part)
	}
	names := manyNames(2 * mostUnparted)
	l.refused(l.link.carrier, names[:2])
	l.refused(l.link.carrier, names[:2])
	if n := parting(); n != 0 {
		t.Errorf("%d are sent before the beat", n)
	}
	l.retry(l.link.carrier)
	if n := parting(); n != 2 {
		t.Errorf("%d are sent after the beat, want 2", n)
	}
	l.refused(l.link.carrier, names)
	l.retry(l.link.carrier)
	if n := parting(); n != mostUnparted {
		t.Errorf("%d of too many are sent, want %d", n, mostUnparted)
	}
}

// A slot that moves ends each of its subscriptions, one after the other.
func TestPartition_FailsOnce(t *testing.T) {
	l := newCarried()
	q := l.ask("a", "b")
	l.confirm(l.next())
	must := func(failed bool) {
		t.Helper()
		if got := l.fail(l.link.carrier, errUnsubscribed); got != failed {
			t.Errorf("it fails: %v, want %v", got, failed)
		}
	}
	must(true)
	must(false)
	l.retry(l.link.carrier)
	must(true)
	must(false)
	if err := q.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A master that is silent before it has taken a partition's subscriptions is as late as any other.
// It is not well again until it has taken them.
func TestPartition_IsLateBeforeItIsRestored(t *testing.T) {
	l := newCarried()
	if by := l.link.carrier; !l.late(by, errNoAnswer) || l.late(by, nil) {
		t.Error("it is not late, or it is well again without its subscriptions")
	}
	if q := l.ask("a"); q.wait(t.Context()) != errNoAnswer {
		t.Errorf("who subscribes meanwhile is told %v", q.failed)
	}
	if _, _, restored := l.takeMissed(l.link.carrier); !restored || !l.answersAll() {
		t.Error("it is not well with its subscriptions")
	}
}
