package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// newTestLink returns a link as if it had a connection.
func newTestLink() *link {
	l := newLink(&Redis{}, "tidegate:", &trust{})
	l.begin(nil)
	return l
}

func (l *link) ask(names ...string) *request {
	q := &request{link: l}
	for _, name := range names {
		q.names = append(q.names, l.prefix+name)
	}
	l.join(q)
	return q
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("many:", i)
	}
	return names
}

func TestRequest_WaitsItsTurnWhileRedisAnswersOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink()
		q := l.ask("a")
		go func() {
			for range 20 { // 10 s of others
				<-time.After(500 * time.Millisecond)
				l.heard.Add(1)
			}
			l.confirmed(l.nextSending().join)
		}()
		if err := q.wait(t.Context()); err != nil {
			t.Errorf("after a long queue: %v", err)
		}
	})
}

func TestRequest_FailsOnALinkThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink()
		q := l.ask("a", "b")
		batch := l.nextSending().join
		l.heard.Add(1)
		l.confirmed(batch[:1])
		began := time.Now()
		err := q.wait(t.Context())
		if took := time.Since(began); err != errNoAnswer || took > 2*answerTimeout {
			t.Errorf("%v after %v", err, took)
		}
		var not NotSubscribed
		q.giveUp(&not, err)
		if len(not) != 1 || not["b"] != errNoAnswer {
			t.Errorf("not subscribed: %v; want b alone", not)
		}
		if next := l.nextSending(); len(next.part) != 1 || !next.probe {
			t.Errorf("then %+v is sent; want the unsubscribe of b, and a probe", next)
		}
	})
}

func TestRequest_EndsWithItsContextAndWithTheLink(t *testing.T) {
	l := newTestLink()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := l.ask("a")
	if err := q.wait(ctx); err != context.Canceled {
		t.Errorf("%v, want that the context has ended", err)
	}
	q.giveUp(new(NotSubscribed), context.Canceled)
	q = l.ask("a", "b")
	reason := errors.New("away")
	l.fail(reason)
	if err := q.wait(t.Context()); err != reason {
		t.Errorf("%v, want that of the link", err)
	}
	if err := l.ask("a").wait(t.Context()); err != reason {
		t.Errorf("while the link is down: %v", err)
	}
}

func TestRequest_OfAChannelThatAnotherWaitsFor(t *testing.T) {
	l := newTestLink()
	first, second := l.ask("a"), l.ask("a", "b")
	l.confirmed(l.nextSending().join[1:]) // b
	var not NotSubscribed
	second.giveUp(&not, second.wait(t.Context()))
	if len(not) != 1 || not["a"] != errBusy {
		t.Errorf("not subscribed: %v; want a alone", not)
	}
	l.confirmed([]string{"tidegate:a"})
	if err := first.wait(t.Context()); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// However many come after the connection, the mark follows those that were there
// before it.
func TestLink_MarkDoesNotWaitForTheNewest(t *testing.T) {
	l := newTestLink()
	l.ask(manyNames(3 * subscribeBatch / 2)...)
	l.begin(nil)
	for batch, want := range []bool{false, true, false} {
		l.ask(fmt.Sprint("new:", batch))
		now := l.nextSending()
		if len(now.join) == 0 || now.mark != want {
			t.Errorf("batch %d has %d channels and mark %v, want %v", batch, len(now.join), now.mark, want)
		}
		l.confirmed(now.join)
	}
}

// A subscription that lingers ends soon: whoever comes back while the link is
// down must not take it for his own.
func TestRequest_FailsOnALinkThatIsDownWhereTheSubscriptionLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink()
		q := l.ask("kept", "left")
		l.confirmed(l.nextSending().join)
		if err := q.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.fail(errNoAnswer)
		time.Sleep(time.Second)
		l.unsubscribe(l.prefix + "left")
		again := l.ask("kept", "left")
		err := again.wait(t.Context())
		var not NotSubscribed
		again.giveUp(&not, err)
		if len(not) != 1 || not["left"] != errNoAnswer {
			t.Errorf("not subscribed: %v; want what lingers", not)
		}
	})
}
