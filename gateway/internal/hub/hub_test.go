package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway/internal/attendance"
	"tidegate/gateway/internal/outbox"
	"tidegate/gateway/internal/wall"
	"tidegate/gateway/rules"
)

// world is a hub with a broker that stores what is published on one channel.
type world struct {
	*Hub
	t          testing.TB
	subscribes int
	kept       []broker.Message
}

const epoch = "e"

func newWorld(t testing.TB, rule rules.Rule, limit int) *world {
	w := &world{t: t}
	stop := &wall.Wall{Log: slog.New(slog.DiscardHandler), Count: func() { t.Error("a panic was caught") }}
	life, end := context.WithCancel(context.Background())
	c := Config{
		Broker: w, Rule: func(string) *rules.Rule { return &rule }, Counts: func(string) bool { return false },
		Line: outbox.NewLine(func(_ *outbox.Outbox, buf [][]byte) [][]byte { return buf }), Outboxes: &outbox.Pool{Limit: limit},
		Life: life, Background: &wall.Group{Wall: stop}, Wall: stop, Log: slog.New(slog.DiscardHandler),
		Counters: Counters{none{}, none{}, none{}, none{}, none{}},
	}
	if rule.KeepsHistory() {
		c.History = history{w: w}
	}
	w.Hub = New(c)
	t.Cleanup(func() { end(); w.Background.Wait() })
	return w
}

type none struct{}

func (none) Inc() {}

func (w *world) Subscribe(context.Context, ...string) error {
	w.subscribes++
	return nil
}

func (w *world) Unsubscribe(context.Context, string) error { return nil }

// history is the history of the world's broker.
type history struct {
	broker.History
	w *world
}

func (h history) top() broker.Position {
	return broker.Position{Epoch: epoch, Offset: uint64(len(h.w.kept))}
}

func (h history) Tops(context.Context, []string) ([]broker.Top, error) {
	return []broker.Top{{Position: h.top()}}, nil
}

func (h history) Since(_ context.Context, _ string, after broker.Position, most broker.Most) (broker.Page, error) {
	return broker.Page{Messages: h.w.kept[after.Offset:][:min(most.Messages, len(h.w.kept)-int(after.Offset))], Top: h.top()}, nil
}

// publish stores messages in the history, and returns them for Receive.
func (w *world) publish(texts ...string) (messages []broker.Message) {
	for _, text := range texts {
		m := broker.Message{Channel: "chat", Payload: []byte(text), Kind: broker.Text}
		if w.History != nil {
			m.Position = broker.Position{Epoch: epoch, Offset: uint64(len(w.kept) + 1)}
			w.kept = append(w.kept, m)
		}
		messages = append(messages, m)
	}
	return messages
}

// hear makes the hub receive messages, and waits for the work that they cause.
func (w *world) hear(messages ...broker.Message) {
	for i := range messages {
		w.Receive(&messages[i])
	}
	w.Background.Wait()
}

// session is a session on the channel chat. It implements Subscriber and Joiner.
type session struct {
	w         *world
	id        string
	out       outbox.Outbox
	sub       Subscription
	encoded   Start
	start     *Start // nil if it has had no reply
	replying  func() // called while a reply with members is encoded; may be nil
	dismissed []error
}

func (s *session) ID() string                 { return s.id }
func (s *session) Who() attendance.Who        { return attendance.Who{User: s.id, Session: s.id} }
func (s *session) Outbox() *outbox.Outbox     { return &s.out }
func (s *session) Dismiss(d Dismissal)        { s.dismissed = append(s.dismissed, d.Why) }
func (s *session) Turn() Turn                 { return turn{} }
func (s *session) GoOn(_ uint32, goOn func()) { goOn() }
func (s *session) Encode(start Start) {
	if s.replying != nil {
		s.replying()
	}
	s.encoded = start
}
func (s *session) Reply() (said bool) { s.start = &s.encoded; return true }
func (s *session) Say(n News) (said bool) {
	frame, _ := words{}.EncodeNews(&n)
	s.out.Push(frame.Data, s.w.Outboxes)
	return true
}

type turn struct{}

func (turn) Try() bool                  { return true }
func (turn) Wait(context.Context) error { return errors.New("nobody else reads") }
func (turn) End()                       {}

// words encodes a message as its payload.
type words struct{}

func (words) EncodeMessage(m *broker.Message) ([]byte, error) { return m.Payload, nil }

func (words) EncodeDelta(m, before *broker.Message) ([]byte, error) {
	if before == nil {
		return m.Payload, nil
	}
	return []byte(string(before.Payload) + ">" + string(m.Payload)), nil
}

func (words) EncodeNews(n *News) (Frame, error) {
	return Frame{Data: []byte([]string{"gap", "joined", "left", "many", "counted", "nothing"}[n.Kind]), Others: true}, nil
}

var speech = NewDialect(words{})

// enter adds a session to the channel.
func (w *world) enter(id string, j Join) *session {
	w.t.Helper()
	s := &session{w: w, id: id}
	w.bring(s, j)
	return s
}

func (w *world) bring(s *session, j Join) {
	w.t.Helper()
	s.out.Attach()
	sub, ok := w.Reserve("chat", s, speech, Terms{})
	if !ok {
		w.t.Fatal("there is no place")
	}
	s.sub = sub
	j.Sub, j.Of = &s.sub, s
	j.Begin()
	w.MakeLive(w.t.Context(), []*Join{&j})
	if j.Err == nil {
		j.Enter(w.t.Context())
	}
	if j.Err != nil || s.start == nil {
		w.t.Fatalf("%s is not on the channel: %v", s.id, j.Err)
	}
}

// heard returns what the session has been sent, and empties its outbox.
func (s *session) heard() string {
	var all []string
	batch := s.out.Take(nil, 1<<20, s.w.Outboxes)
	for _, frame := range batch.Frames {
		all = append(all, string(frame))
	}
	batch.Written()
	if _, err := s.out.Release(); err != nil {
		s.w.t.Error(err)
	}
	return strings.Join(all, " ")
}

func (s *session) expect(want string) {
	s.w.t.Helper()
	if got := s.heard(); got != want {
		s.w.t.Errorf("%s heard %q, want %q", s.id, got, want)
	}
}

var keeping = rules.Rule{HistorySize: 100}

func TestHub_AnAudienceHearsInOrderAndAHoleIsRepaired(t *testing.T) {
	w := newWorld(t, keeping, 0)
	a := w.enter("a", Join{})
	m := w.publish("1", "2", "3", "4")
	w.hear(m[0], m[2], m[3], m[2])
	a.expect("1 2 3 4")
}

// counted is a Counter that can be read.
type counted int

func (c *counted) Inc() { *c++ }

func TestHub_AHoleIsCountedOnceHoweverManyReadsItTakes(t *testing.T) {
	w := newWorld(t, keeping, 0)
	var repaired counted
	w.Counters.Repaired = &repaired
	w.enter("a", Join{})
	messages := w.publish(make([]string, 1000)...)
	w.hear(messages[len(messages)-1])
	w.Missed([]string{"chat"})
	w.Background.Wait()
	if repaired != 1 {
		t.Errorf("one hole was counted %d times", repaired)
	}
}

func TestHub_WhoComesBackIsGivenWhatItMissedAndThenWhatIsLive(t *testing.T) {
	w := newWorld(t, keeping, 0)
	w.publish("1", "2", "3")
	b := w.enter("b", Join{Cursor: broker.Position{Epoch: epoch, Offset: 1}})
	if !b.start.Resumed || !b.start.Recovered || b.start.After.Offset != 1 || b.start.Position.Offset != 3 {
		t.Errorf("it was answered %+v", *b.start)
	}
	w.hear(w.publish("4")...)
	b.expect("2 3 4")
}

func TestHub_WhoWantsTheLastMessagesIsGivenThoseFirst(t *testing.T) {
	w := newWorld(t, keeping, 0)
	w.publish("1", "2", "3")
	w.enter("b", Join{Recent: 2}).expect("2 3")
	silent := newWorld(t, rules.Rule{}, 0)
	silent.enter("c", Join{Recent: 2}).expect("nothing")
}

func TestHub_WithoutHistoryALostLinkIsTold(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	a := w.enter("a", Join{})
	w.hear(w.publish("1")...)
	w.Missed([]string{"chat", "elsewhere"})
	w.Background.Wait()
	a.expect("1 gap")
}

func TestHub_WhoseOutboxIsFullIsDismissedAndTheOthersHear(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 10)
	slow, quick := w.enter("slow", Join{}), w.enter("quick", Join{})
	w.hear(w.publish("123456")...)
	quick.expect("123456")
	w.hear(w.publish("789abc")...)
	quick.expect("789abc")
	if len(slow.dismissed) != 1 || !errors.Is(slow.dismissed[0], ErrSlow) || len(quick.dismissed) > 0 {
		t.Errorf("dismissed: slow for %v, quick for %v", slow.dismissed, quick.dismissed)
	}
}

func TestHub_AMessageIsNotForWhoIsLeftOutOrWantsNoEcho(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	a, b := w.enter("a", Join{}), w.enter("b", Join{})
	m := w.publish("1")
	m[0].Except = "a"
	w.hear(m...)
	a.expect("")
	b.expect("1")
}

func TestHub_WithDeltasTheFirstIsToldWholeAndThenWhatDiffers(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	plain, delta := w.enter("plain", Join{}), w.enter("delta", Join{Dialect: speech.Deltas()})
	w.hear(w.publish("1", "2")...)
	plain.expect("1 2")
	delta.expect("1 1>2")
}

func TestHub_ATracedMessageIsFollowedToEachSession(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	a, b := w.enter("a", Join{}), w.enter("b", Join{})
	if !w.Trace("chat", "mark", "") {
		t.Fatal("it is not followed")
	}
	m := w.publish("1")
	m[0].Session, m[0].Except = "mark", "b"
	w.hear(m...)
	a.heard()
	b.heard()
	r := w.Traced("mark")
	fates := make(map[string]Fate)
	for _, c := range r.Copies {
		fates[c.By.Who().User] = c.Fate
	}
	if r.Heard != 1 || len(fates) != 2 || fates["a"] != Written || fates["b"] != Skipped {
		t.Errorf("heard %d times: %v", r.Heard, fates)
	}
	w.EndTrace("mark")
	if r := w.Traced("mark"); r.Heard != 0 {
		t.Errorf("it is followed still: %+v", r)
	}
}

func TestHub_PlacesAreBounded(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	w.Config.Subscriptions = 1
	a := w.enter("a", Join{})
	if _, ok := w.Reserve("other", a, speech, Terms{}); ok || w.Channels() != 1 || w.Subscriptions() != 1 {
		t.Errorf("a second place: %v, of %d on %d channels", ok, w.Subscriptions(), w.Channels())
	}
	w.Release(&a.sub)
	if w.Channels() != 0 || w.Subscriptions() != 0 {
		t.Errorf("%d places on %d channels are left", w.Subscriptions(), w.Channels())
	}
}

func TestHub_ChannelThatWasLetGoIsNotSubscribed(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	ch := w.hold("chat")
	w.letGo(ch) // the subscription ended before MakeLive
	j := &Join{ch: ch}
	if w.MakeLive(t.Context(), []*Join{j}); !errors.Is(j.Err, ErrGone) {
		t.Errorf("subscribed: %v", j.Err)
	}
	if w.subscribes > 0 {
		t.Error("the broker is subscribed to a channel that nobody would unsubscribe")
	}
}

func TestChannel_SubscriptionThatEndedIsNotConfirmed(t *testing.T) {
	for _, rule := range []rules.Rule{{}, keeping} {
		w := newWorld(t, rule, 0)
		s := &session{w: w, id: "gone"}
		sub, _ := w.Reserve("chat", s, speech, Terms{})
		j := &Join{Sub: &sub, Of: s, Cursor: broker.Position{Epoch: epoch, Offset: 1}}
		j.Begin()
		w.Release(&sub)
		if j.Enter(t.Context()); !errors.Is(j.Err, ErrGone) || s.start != nil {
			t.Errorf("history %v: %v, answered %v", rule.KeepsHistory(), j.Err, s.start)
		}
	}
}

func TestHub_ADepartedChannelWithHistoryIsKeptForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, keeping, 0)
		a := w.enter("a", Join{})
		w.Release(&a.sub)
		time.Sleep(departLinger - time.Millisecond)
		w.Sweep(time.Now())
		synctest.Wait()
		if w.Channels() != 1 {
			t.Errorf("%d channels are left at once, want 1", w.Channels())
		}
		time.Sleep(time.Millisecond)
		w.Sweep(time.Now())
		synctest.Wait()
		if w.Channels() != 0 {
			t.Errorf("%d channels are left in the end", w.Channels())
		}
	})
}

// takingLeave is a broker that takes a while to unsubscribe, and knows how many ask for that at once.
type takingLeave struct {
	Broker
	now, most int
}

func (l *takingLeave) Unsubscribe(context.Context, string) error {
	l.now++
	l.most = max(l.most, l.now)
	time.Sleep(time.Millisecond)
	l.now--
	return nil
}

// All clients may leave at once: a goroutine for each of their channels would take gigabytes.
func TestHub_DepartedChannelsAreReleasedOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, keeping, 0)
		leaving := &takingLeave{Broker: w.Broker}
		w.Broker = leaving
		for i := range 100 {
			j := &Join{ch: w.hold(fmt.Sprint("room:", i))}
			w.MakeLive(t.Context(), []*Join{j})
			w.letGo(j.ch)
		}
		time.Sleep(departLinger)
		w.Sweep(time.Now())
		w.Background.Wait()
		if w.Channels() != 0 || leaving.most != 1 {
			t.Errorf("%d channels are left, %d were released at once", w.Channels(), leaving.most)
		}
	})
}

func TestHub_NewsOfAMemberAreForTheOthersAndAllElseIsForAll(t *testing.T) {
	w := newWorld(t, rules.Rule{Presence: true, JoinLeave: true}, 0)
	a, b := w.enter("a", Join{}), w.enter("b", Join{})
	a.sub.as, b.sub.as = &attendance.Who{User: "a"}, &anybody
	w.find("chat").tellChange(attendance.Change{Kind: attendance.Joined, Who: attendance.Who{User: "a"}})
	w.TellCount("chat", 2)
	a.expect("counted")
	b.expect("joined counted")
}

func TestHub_AudienceIsWhoListens(t *testing.T) {
	w := newWorld(t, rules.Rule{}, 0)
	for i := range 3 {
		w.enter(fmt.Sprint("s", i), Join{})
	}
	var ids []string
	for _, by := range w.Audience("chat") {
		ids = append(ids, by.ID())
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"s0", "s1", "s2"}) || w.Audience("nowhere") != nil {
		t.Errorf("the audience is %v", ids)
	}
}
