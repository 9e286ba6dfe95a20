package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"

	"pgregory.net/rapid"
)

// lossy is a broker that loses, repeats and refuses as it is told.
type lossy struct {
	*broker.Memory
	receiver  broker.Receiver
	losing    atomic.Bool // live messages are lost
	repeating atomic.Bool // live messages come twice
	away      atomic.Bool // history cannot be read
	reads     atomic.Int64
	left      atomic.Bool // a channel was unsubscribed
}

func (l *lossy) Unsubscribe(ctx context.Context, channel string) error {
	l.left.Store(true)
	return l.Memory.Unsubscribe(ctx, channel)
}

func newLossy() *lossy { return &lossy{Memory: broker.NewMemory()} }

func (l *lossy) Run(ctx context.Context, r broker.Receiver) error {
	l.receiver = r
	return l.Memory.Run(ctx, l)
}

func (l *lossy) Receive(m broker.Message) {
	if l.losing.Load() {
		return
	}
	l.receiver.Receive(m)
	if l.repeating.Load() {
		l.receiver.Receive(m)
	}
}

func (l *lossy) Gap(channels []string, err error) { l.receiver.Gap(channels, err) }
func (l *lossy) Link(err error)                   { l.receiver.Link(err) }
func (l *lossy) Rest()                            { l.receiver.Rest() }

// publishBare publishes as somebody does who knows of no gateway.
func (l *lossy) publishBare(t testing.TB, channel, payload string) {
	t.Helper()
	if _, err := broker.Publish(t.Context(), l, broker.Message{Channel: channel, Payload: []byte(payload)}, broker.PublishOptions{Bare: true}); err != nil {
		t.Fatal(err)
	}
}

func (l *lossy) Since(ctx context.Context, channel string, after broker.Position, limit int) (broker.Page, error) {
	l.reads.Add(1)
	if l.away.Load() {
		return broker.Page{}, broker.ErrUnavailable
	}
	return l.Memory.Since(ctx, channel, after, limit)
}

var errCut = errors.New("the link was cut")

func startLossy(t testing.TB, size int, limits gateway.Limits) (*node, *lossy) {
	l := newLossy()
	rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: size},
		{Match: "*", Subscribe: gateway.Anyone, Publish: gateway.Anyone}}
	return startNode(t, gateway.Config{Broker: l, History: l, Rules: rules, Limits: limits}), l
}

func TestRecovery_LostMessageIsRepairedByTheNext(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a")
	p.expect("subscribed")
	n.publish("kept:a", "1")
	l.losing.Store(true)
	n.publish("kept:a", "2")
	n.publish("kept:a", "3")
	l.losing.Store(false)
	n.publish("kept:a", "4")
	p.expect("message kept:a 4")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("heard %v", got)
	}
	if got := count(p.lines(), "gap kept:a"); got != 0 {
		t.Error("a repaired gap was told")
	}
}

func TestRecovery_LostLastMessageIsFoundInAQuietChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a")
		p.expect("subscribed")
		l.losing.Store(true)
		n.publish("kept:a", "last")
		l.losing.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"last"}) {
			t.Errorf("heard %v", got)
		}
	})
}

// partly is a history that does not say where some channels are.
type partly struct {
	*lossy
	mute string
}

func (h *partly) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	tops, err := h.lossy.Tops(ctx, channels)
	if at := slices.Index(channels, h.mute); at >= 0 && len(channels) > 1 {
		tops[at], err = broker.Top{}, broker.ErrUnavailable
	}
	return tops, err
}

func TestRecovery_LostLastMessageIsFoundWhereOtherChannelsCannotBeAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: &partly{l, "kept:mute"}, Rules: rules})
		p := n.connect(gateway.Hello{})
		for _, name := range []string{"kept:a", "kept:mute"} {
			p.send("sub %s", name)
			p.expect("subscribed " + name)
		}
		l.losing.Store(true)
		n.publish("kept:a", "last")
		l.losing.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"last"}) {
			t.Errorf("heard %v", got)
		}
	})
}

func TestRecovery_GapIsToldOnAChannelWithoutHistory(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("sub plain")
	p.send("sub kept:a")
	p.expect("subscribed kept:a")
	l.Gap([]string{"plain", "kept:a", "nobody's"}, errCut)
	p.expect("gap plain")
	n.publish("kept:a", "end")
	p.expect("message kept:a end")
	if count(p.lines(), "gap kept:a") != 0 {
		t.Error("a gap was told on a channel with history that lost nothing")
	}
}

func TestRecovery_GapIsToldWhereMessagesComeThatAreInNoHistory(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a")
	p.expect("subscribed")
	n.publish("kept:a", "1")
	l.publishBare(t, "kept:a", "bare")
	p.expect("message kept:a bare")
	l.losing.Store(true)
	n.publish("kept:a", "2")
	l.losing.Store(false)
	l.Gap([]string{"kept:a"}, errCut)
	p.expect("message kept:a 2")
	if count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("the gap was not told once: %v", p.lines())
	}
}

func TestRecovery_GapIsToldToWhoResumesWhileMessagesComeThatAreInNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 50 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
		}
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent what there is room for
		l.publishBare(t, "kept:a", "bare")
		read()
		p.expect("message kept:a 49-")
		n.publish("kept:a", "live")
		p.expect("message kept:a live")
		if got := p.heardOf("kept:a"); len(got) != 51 || count(p.lines(), "gap kept:a") != 1 {
			t.Errorf("heard %d messages, and of %d gaps", len(got), count(p.lines(), "gap kept:a"))
		}
	})
}

func TestRecovery_GapEndsSessionsThatCannotBeTold(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{Protocol: words{"curt"}})
	p.send("sub plain")
	p.expect("subscribed")
	l.Gap([]string{"plain"}, errCut)
	if reason := p.expectClosed(); reason.Code != 4010 {
		t.Errorf("closed with %+v", reason)
	}
}

func TestRecovery_SessionsThatResumeTooLateAndCannotBeToldEndSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 3, gateway.Limits{})
		first := n.publish("kept:a", "1")
		for i := 2; i <= 6; i++ {
			n.publish("kept:a", "%d", i)
		}
		const sessions = 20
		peers := make([]*peer, sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{Protocol: words{"curt"}})
			peers[i].send("sub kept:a %s", first)
			peers[i].expect("message kept:a 6")
		}
		synctest.Wait()
		atOnce := 0
		for _, p := range peers {
			if p.isClosed() {
				atOnce++
			}
		}
		if atOnce > sessions/2 {
			t.Errorf("%d of %d sessions were closed at once", atOnce, sessions)
		}
		for _, p := range peers {
			if reason := p.expectClosed(); reason.Code != 4010 {
				t.Errorf("closed with %+v", reason)
			}
		}
	})
}

func TestRecovery_WhoCameBeforeHistoryWasKeptIsToldThatItBegins(t *testing.T) {
	n, l := startLossy(t, 3, gateway.Limits{})
	early := n.connect(gateway.Hello{})
	early.send("sub plain")
	early.expect("subscribed")
	if err := n.SetRules(gateway.Rules{{Match: "*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 3}}); err != nil {
		t.Fatal(err)
	}
	l.losing.Store(true) // as if it were on its way still
	n.publish("plain", "1")
	l.losing.Store(false)
	late := n.connect(gateway.Hello{})
	late.send("sub plain")
	late.expect("subscribed")
	early.expect("gap plain")
	n.publish("plain", "2")
	early.expect("message plain 2")
	late.expect("message plain 2")
	if count(late.lines(), "gap plain") != 0 {
		t.Error("who has just come was told of a gap")
	}
}

func TestRecovery_TrimmedHistoryIsToldAsAGap(t *testing.T) {
	n, l := startLossy(t, 3, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a")
	p.expect("subscribed")
	l.losing.Store(true)
	for i := range 9 {
		n.publish("kept:a", "%d", i)
	}
	l.losing.Store(false)
	n.publish("kept:a", "9")
	p.expect("message kept:a 9")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"7", "8", "9"}) {
		t.Errorf("heard %v", got)
	}
	if count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("the loss was not told once: %v", p.lines())
	}
}

func TestRecovery_CursorBringsWhatWasMissed(t *testing.T) {
	n, _ := startLossy(t, 5, gateway.Limits{})
	first := n.publish("kept:a", "1")
	for i := 2; i <= 4; i++ {
		n.publish("kept:a", "%d", i)
	}
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", first)
	p.expect("subscribed kept:a recovered=true")
	n.publish("kept:a", "5")
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
		t.Errorf("heard %v", got)
	}
	for i := 6; i <= 10; i++ {
		n.publish("kept:a", "%d", i)
	}
	for _, cursor := range []string{"otherepoch:3", first.Epoch + ":99"} {
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a %s", cursor)
		late.expect("subscribed kept:a recovered=false")
		late.expect("message kept:a 10")
	}
	plain := n.connect(gateway.Hello{})
	plain.send("sub plain %s", first)
	plain.expect("subscribed plain recovered=false")
	plain.send("sub other no-cursor")
	plain.expect("error bad_request")
}

func TestRecovery_CursorTooOldIsToldAndBringsWhatThereIs(t *testing.T) {
	n, _ := startLossy(t, 3, gateway.Limits{})
	first := n.publish("kept:a", "1")
	for i := 2; i <= 9; i++ {
		n.publish("kept:a", "%d", i)
	}
	for range 2 { // the second finds in the tail what the first one read
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", first)
		p.expect("subscribed kept:a recovered=false")
		p.expect("message kept:a 9")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"7", "8", "9"}) {
			t.Errorf("heard %v", got)
		}
		if count(p.lines(), "gap kept:a") != 0 {
			t.Error("a gap was told beside recovered=false")
		}
	}
}

func TestRecovery_ThousandsWhoResumeShareOneRead(t *testing.T) {
	n, l := startLossy(t, 100, gateway.Limits{})
	from := n.publish("kept:a", "0")
	for i := 1; i <= 50; i++ {
		n.publish("kept:a", "%d", i)
	}
	anchor := n.connect(gateway.Hello{})
	anchor.send("sub kept:a")
	anchor.expect("subscribed")
	before := l.reads.Load()
	var peers []*peer
	for range 2000 {
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a %s", from)
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.expect("message kept:a 50")
		if got := p.heardOf("kept:a"); len(got) != 50 {
			t.Fatalf("heard %d messages, want 50", len(got))
		}
	}
	if reads := l.reads.Load() - before; reads != 1 {
		t.Errorf("2,000 sessions cost %d range reads, want 1", reads)
	}
}

func TestRecovery_HistoryTooLargeForTheTailIsReadOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
		from := n.publish("kept:a", "first")
		const messages = 3000
		for i := range messages {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
		}
		before := l.reads.Load()
		var peers []*peer
		for range 100 {
			p := n.connect(gateway.Hello{})
			p.send("sub kept:a %s", from)
			peers = append(peers, p)
		}
		for _, p := range peers {
			p.expect(fmt.Sprintf("message kept:a %d-", messages-1))
			if got := len(p.heardOf("kept:a")); got != messages {
				t.Fatalf("heard %d messages, want %d", got, messages)
			}
		}
		if reads := l.reads.Load() - before; reads > messages/256+1 {
			t.Errorf("%d sessions cost %d range reads of 256 messages, for %d messages", len(peers), reads, messages)
		}
	})
}

func TestRecovery_WhoComesBackShortlyCostsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		from := n.publish("kept:a", "0")
		anchor := n.connect(gateway.Hello{})
		anchor.send("sub kept:a %s", from)
		anchor.expect("subscribed")
		before := l.reads.Load()
		for i := 1; i <= 5; i++ {
			anchor.Close(gateway.Lost, nil)
			synctest.Wait()
			cursor := n.publish("kept:a", "%d", i)
			n.publish("kept:a", "%d again", i)
			anchor = n.connect(gateway.Hello{})
			anchor.send("sub kept:a %s", cursor)
			anchor.expect(fmt.Sprintf("message kept:a %d", i))
		}
		if reads := l.reads.Load() - before; reads != 0 {
			t.Errorf("coming back five times cost %d range reads", reads)
		}
		anchor.Close(gateway.Lost, nil)
		time.Sleep(3 * time.Second)
		if !l.left.Load() {
			t.Error("the channel was never unsubscribed at the broker")
		}
	})
}

func TestRecovery_HistoryLargerThanTheOutboxArrivesWhole(t *testing.T) {
	n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
	from := n.publish("kept:a", "first")
	for i := range 3000 {
		n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
	}
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", from)
	p.expect("message kept:a 2999-")
	for i, text := range p.heardOf("kept:a") {
		if !strings.HasPrefix(text, fmt.Sprintf("%d-", i)) {
			t.Fatalf("message %d is %.10s", i, text)
		}
	}
}

func TestRecovery_OpeningCommandBringsMoreThanTheOutboxHolds(t *testing.T) {
	for _, size := range []int{500, 3000} { // what fits into the tail, and what does not
		testOpening(t, size)
	}
}

func testOpening(t *testing.T, size int) {
	t.Helper()
	n, _ := startLossy(t, 5000, gateway.Limits{OutboxBytes: 64 << 10})
	from := n.publish("kept:a", "first")
	for i := range size {
		n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
	}
	p := n.connect(gateway.Hello{Commands: []gateway.Command{gateway.Subscribe{Channel: "kept:a", Cursor: from.String()}}})
	p.expect("message kept:a " + fmt.Sprint(size-1) + "-")
	n.publish("kept:a", "%d-", size)
	p.expect("message kept:a " + fmt.Sprint(size) + "-")
	for i, text := range p.heardOf("kept:a") {
		if !strings.HasPrefix(text, fmt.Sprintf("%d-", i)) {
			t.Fatalf("message %d is %.10s", i, text)
		}
	}
}

func TestRecovery_ManyWaitTogetherForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 1500 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
		}
		const sessions = 50
		peers, reads := make([]*peer, sessions), make([]func(), sessions)
		for i := range peers {
			peers[i] = n.connect(gateway.Hello{})
			reads[i] = peers[i].stall()
			peers[i].send("sub kept:a %s", from)
		}
		synctest.Wait()
		l.away.Store(true)
		before := l.reads.Load()
		for _, read := range reads {
			read()
		}
		time.Sleep(20 * time.Second)
		if got := l.reads.Load() - before; got > 20*4 {
			t.Errorf("%d sessions tried to read %d times within 20 s", sessions, got)
		}
		l.away.Store(false)
		for _, p := range peers {
			p.expect("message kept:a 1499-")
		}
	})
}

func TestRecovery_WhoIsUpToDateHasRoomForWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 100, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 7 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500)) // almost as much as an outbox holds
		}
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait()
		n.publish("kept:a", "7-%s", strings.Repeat("x", 500))
		synctest.Wait()
		read()
		p.expect("message kept:a 7-")
		if got := len(p.heardOf("kept:a")); got != 8 {
			t.Errorf("heard %d messages", got)
		}
	})
}

func TestRecovery_WhoIsBeingBroughtUpToDateWaitsForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 5000, gateway.Limits{OutboxBytes: 4 << 10})
		from := n.publish("kept:a", "first")
		for i := range 3000 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
		}
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent what there is room for
		l.away.Store(true)
		read()
		time.Sleep(time.Minute)
		l.away.Store(false)
		p.expect("message kept:a 2999-")
		if got := len(p.heardOf("kept:a")); got != 3000 || count(p.lines(), "error unavailable") != 0 {
			t.Errorf("heard %d messages, and of %d errors", got, count(p.lines(), "error unavailable"))
		}
	})
}

func TestRecovery_RepairWaitsForTheHistoryToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, l := startLossy(t, 100, gateway.Limits{})
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a")
		p.expect("subscribed")
		l.losing.Store(true)
		n.publish("kept:a", "1")
		l.losing.Store(false)
		l.away.Store(true)
		n.publish("kept:a", "2")
		time.Sleep(time.Minute)
		l.away.Store(false)
		p.expect("message kept:a 2")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("heard %v", got)
		}
	})
}

// step is one thing that happens in a random story.
type step struct {
	what string
	who  int
}

func (s step) String() string { return fmt.Sprintf("%s(%d)", s.what, s.who) }

// TestRecovery_EveryLogEqualsTheStream tells random stories of publishes, losses,
// cuts, repetitions, stalls, disconnects and resumes. At the end every client's
// log must be the stream from the place on where it first subscribed.
func TestRecovery_EveryLogEqualsTheStream(t *testing.T) {
	steps := []string{"publish", "publish", "publish", "burst", "lose", "find", "heal", "repeat", "once", "away", "back",
		"stall", "read", "leave", "resume", "arrive", "wait", "gap"}
	rapid.Check(t, func(rt *rapid.T) {
		story := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(steps).Draw(rt, "what"), rapid.IntRange(0, 2).Draw(rt, "who")}
		}), 1, 60).Draw(rt, "story")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = tellStory(t, story) })
		if wrong != "" {
			rt.Fatalf("after %v: %s", story, wrong)
		}
	})
}

// reader is a client that resumes where it was.
type reader struct {
	peer   *peer
	resume func()
	log    []string // of the connections before
	from   int      // index of the first message it is to hear
	cursor string
	on     bool
}

func tellStory(t *testing.T, story []step) string {
	n, l := startLossy(t, 100000, gateway.Limits{})
	var stream []string
	readers := make([]*reader, 3)
	publish := func(times int) {
		for range times {
			text := fmt.Sprint(len(stream))
			n.publish("kept:a", "%s", text)
			stream = append(stream, text)
		}
	}
	publish(1)
	heal := func() { l.losing.Store(false); l.away.Store(false); l.repeating.Store(false) }
	for _, s := range story {
		r := readers[s.who]
		switch s.what {
		case "publish":
			publish(1)
		case "burst":
			publish(20)
		case "lose":
			l.losing.Store(true)
		case "find":
			l.losing.Store(false)
		case "heal":
			heal()
			l.Gap([]string{"kept:a"}, errCut)
		case "gap":
			l.Gap([]string{"kept:a"}, errCut)
		case "repeat":
			l.repeating.Store(true)
		case "once":
			l.repeating.Store(false)
		case "away":
			l.away.Store(true)
		case "back":
			l.away.Store(false)
		case "wait":
			time.Sleep(3 * time.Second)
		case "arrive":
			if r == nil {
				l.away.Store(false)
				readers[s.who] = arrive(n, stream)
			}
		case "stall":
			if r != nil && r.on && r.resume == nil {
				r.resume = r.peer.stall()
			}
		case "read":
			r.read()
		case "leave":
			r.leave()
		case "resume":
			if r != nil && !r.on {
				l.away.Store(false)
				r.connect(n)
			}
		}
	}
	heal()
	for i := range readers {
		if readers[i] == nil {
			readers[i] = arrive(n, stream)
		}
		readers[i].read()
		if !readers[i].on {
			readers[i].connect(n)
		}
	}
	publish(1)
	time.Sleep(30 * time.Second)
	synctest.Wait()
	for i, r := range readers {
		r.leave()
		if want := stream[r.from:]; !slices.Equal(r.log, want) {
			return fmt.Sprintf("reader %d heard %v, want %v", i, r.log, want)
		}
	}
	return ""
}

// arrive connects a client that wants everything from the stream's beginning,
// or, if it subscribes without a cursor, from now on. The position that the
// reply names decides what now is.
func arrive(n *node, stream []string) *reader {
	r := &reader{}
	page, err := n.ReadHistory(context.Background(), &backend, gateway.History{Channel: "kept:a"})
	if err != nil {
		n.t.Fatal(err)
	}
	r.from = len(stream)
	r.cursor = page.Cursor()
	r.connect(n)
	return r
}

// connect subscribes from where the reader was, again for as long as the answer
// is that the broker is not available.
func (r *reader) connect(n *node) {
	r.peer = n.connect(gateway.Hello{})
	r.on = true
	for answers := 1; ; answers++ {
		r.peer.send("sub kept:a %s", r.cursor)
		r.peer.until("an answer", func() bool {
			return count(r.peer.lines(), "subscribed kept:a recovered=true")+count(r.peer.lines(), "error unavailable") == answers
		})
		if count(r.peer.lines(), "subscribed kept:a recovered=true") == 1 {
			return
		}
	}
}

func (r *reader) read() {
	if r != nil && r.resume != nil {
		r.resume()
		r.resume = nil
	}
}

// leave ends the connection and notes what came over it.
func (r *reader) leave() {
	if r == nil || !r.on {
		return
	}
	r.peer.Close(gateway.Lost, nil)
	r.on = false
	for _, line := range r.peer.lines() {
		word := strings.Fields(line)
		if len(word) == 4 && word[0] == "message" {
			r.log = append(r.log, word[2])
			r.cursor = word[3]
		}
	}
	if r.resume != nil { // nothing that waited has arrived
		r.resume()
		r.resume = nil
	}
}

// restarted is a history that has begun a new epoch and kept what it had, as
// Redis does when it comes back with its data.
type restarted struct {
	*lossy
	former, epoch string
	top           uint64 // of the former epoch

	meanwhile atomic.Pointer[func()] // is done while the next read is under way
}

func (r *restarted) Since(ctx context.Context, channel string, after broker.Position, limit int) (broker.Page, error) {
	if meanwhile := r.meanwhile.Swap(nil); meanwhile != nil {
		(*meanwhile)()
	}
	if r.away.Load() {
		return r.lossy.Since(ctx, channel, after, limit)
	}
	lost := r.epoch != "" && after.Epoch != r.epoch
	if lost && after.Epoch == r.former {
		after.Offset = min(after.Offset, r.top)
	} else if lost {
		after.Offset = 0
	}
	after.Epoch = r.former
	page, err := r.lossy.Since(ctx, channel, after, limit)
	if r.epoch != "" {
		page.Lost = page.Lost || lost
		page.Former = broker.Position{Epoch: r.former, Offset: r.top}
		page.Top.Epoch = r.epoch
		for i := range page.Messages {
			page.Messages[i].Position.Epoch = r.epoch
		}
	}
	return page, err
}

func (r *restarted) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	tops, err := r.lossy.Tops(ctx, channels)
	if r.epoch != "" {
		for i := range tops {
			tops[i].Epoch, tops[i].Former = r.epoch, broker.Position{Epoch: r.former, Offset: r.top}
		}
	}
	return tops, err
}

func TestRecovery_WhoComesToANodeAfterTheRestartIsNotGivenAgainWhatHeHas(t *testing.T) {
	l := newLossy()
	r := &restarted{lossy: l}
	rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
	n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
	var third broker.Position
	for i := 1; i <= 5; i++ {
		if at := n.publish("kept:a", "%d", i); i == 3 {
			third = at
		}
	}
	r.former, r.top, r.epoch = third.Epoch, 4, "another"
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a %s", third)
	p.expect("subscribed kept:a recovered=false")
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"4", "5"}) {
		t.Errorf("who resumes after 3 heard %v", got)
	}
}

func TestRecovery_NobodyIsGivenAgainWhatHeHasFromTheFormerEpoch(t *testing.T) {
	l := newLossy()
	r := &restarted{lossy: l}
	rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
	n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
	p := n.connect(gateway.Hello{})
	p.send("sub kept:a")
	p.expect("subscribed")
	var second broker.Position
	for i := 1; i <= 4; i++ {
		if at := n.publish("kept:a", "%d", i); i == 2 {
			second = at
		}
	}
	p.expect("message kept:a 4")
	l.losing.Store(true)
	n.publish("kept:a", "5")
	r.former, r.top, r.epoch = second.Epoch, 4, "another"
	l.Gap([]string{"kept:a"}, errCut)
	p.expect("message kept:a 5")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) || count(p.lines(), "gap kept:a") != 1 {
		t.Errorf("heard %v", p.lines())
	}
	late := n.connect(gateway.Hello{})
	late.send("sub kept:a %s", second)
	late.expect("subscribed kept:a recovered=false")
	late.expect("message kept:a 5")
	if got := late.heardOf("kept:a"); !slices.Equal(got, []string{"3", "4", "5"}) {
		t.Errorf("who resumes after 2 heard %v", got)
	}
}

func TestRecovery_HistoryThatIsLostWhileItIsSentIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules, Limits: gateway.Limits{OutboxBytes: 4 << 10}})
		from := n.publish("kept:a", "first")
		for i := range 50 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 500))
		}
		p := n.connect(gateway.Hello{})
		read := p.stall()
		p.send("sub kept:a %s", from)
		synctest.Wait() // it has been sent what there is room for

		l.losing.Store(true)
		if err := l.Clear(t.Context(), "kept:a"); err != nil {
			t.Fatal(err)
		}
		n.publish("kept:a", "after")
		r.former, r.top, r.epoch = from.Epoch, 0, "another"
		l.Gap([]string{"kept:a"}, errCut)
		synctest.Wait()
		read()
		p.expect("message kept:a after")
		if got := p.heardOf("kept:a"); len(got) >= 50 {
			t.Fatalf("heard %d messages: nothing was lost", len(got))
		}
		if lines := p.lines(); count(lines, "subscribed kept:a recovered=true") != 1 || count(lines, "gap kept:a") != 1 {
			t.Errorf("the loss was not told once: %.50q", lines)
		}
	})
}

func TestRecovery_HistoryThatIsTrimmedBeforeItsFirstMessageIsSentIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := startLossy(t, 5, gateway.Limits{OutboxBytes: 4 << 10})
		anchor := n.connect(gateway.Hello{})
		anchor.send("sub kept:a")
		anchor.expect("subscribed")
		first := n.publish("kept:a", "%s", strings.Repeat("1", 1<<10))
		beginning := broker.Position{Epoch: first.Epoch}

		p := n.connect(gateway.Hello{})
		p.send("sub plain")
		p.expect("subscribed")
		read := p.stall()
		n.publish("plain", "%s", strings.Repeat("x", 3500))
		p.send("sub kept:a %s", beginning)
		synctest.Wait() // there is room for the answer, and not for a message
		for i := range 30 {
			n.publish("kept:a", "%d-%s", i, strings.Repeat("x", 64<<10)) // more than a tail holds
			synctest.Wait()
		}
		read()
		p.expect("message kept:a 29-")
		if lines := p.lines(); count(lines, "gap kept:a") != 1 {
			t.Errorf("the loss was told %d times", count(lines, "gap kept:a"))
		}
	})
}

func TestRecovery_WhatTheSessionItselfPublishesWhileItResumesIsNotEchoed(t *testing.T) {
	n, _ := startLossy(t, 100, gateway.Limits{})
	p := n.connect(gateway.Hello{})
	p.send("subquiet kept:a")
	p.expect("subscribed")
	from := n.publish("kept:a", "another's")
	p.send("pub kept:a own")
	p.expect("published")
	p.send("sub kept:a %s", from) // once more, over the place that it has
	p.expect("subscribed kept:a recovered=true")
	n.publish("kept:a", "end")
	p.expect("message kept:a end")
	if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"another's", "end"}) {
		t.Errorf("heard %v", got)
	}
}

func TestRecovery_WhatIsReadWhileTheEpochChangesIsNotTakenForAllThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
		var positions []broker.Position
		for i := 1; i <= 5; i++ {
			positions = append(positions, n.publish("kept:a", "%d", i))
		}
		meanwhile := func() {
			r.former, r.top, r.epoch = positions[0].Epoch, 5, "another"
			l.Gap([]string{"kept:a"}, errCut)
			synctest.Wait() // the node is in the new epoch when the read is answered
		}
		r.meanwhile.Store(&meanwhile)
		early := n.connect(gateway.Hello{})
		early.send("sub kept:a %s", positions[2])
		early.expect("message kept:a 5")
		if got := early.heardOf("kept:a"); !slices.Equal(got, []string{"4", "5"}) {
			t.Errorf("who resumes after 3 heard %v", got)
		}
		late := n.connect(gateway.Hello{})
		late.send("sub kept:a another:1")
		late.expect("message kept:a 5")
		if got := late.heardOf("kept:a"); !slices.Equal(got, []string{"2", "3", "4", "5"}) {
			t.Errorf("who resumes after 1 heard %v", got)
		}
	})
}

func TestRecovery_WhatWasSeenOfALostEpochIsNotLookedForInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy()
		r := &restarted{lossy: l}
		rules := gateway.Rules{{Match: "kept:*", Subscribe: gateway.Anyone, Publish: gateway.Anyone, HistorySize: 100}}
		n := startNode(t, gateway.Config{Broker: l, History: r, Rules: rules})
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a")
		p.expect("subscribed")
		first := n.publish("kept:a", "1")
		p.expect("message kept:a 1")

		l.away.Store(true)
		l.losing.Store(true)
		n.publish("kept:a", "lost")
		l.losing.Store(false)
		n.publish("kept:a", "seen") // and its history cannot be read any more
		synctest.Wait()
		l.losing.Store(true)
		if err := l.Clear(t.Context(), "kept:a"); err != nil {
			t.Fatal(err)
		}
		n.publish("kept:a", "2")
		r.former, r.top, r.epoch = first.Epoch, 0, "another"
		l.away.Store(false)
		p.expect("message kept:a 2")
		time.Sleep(time.Minute)
		n.publish("kept:a", "3")
		l.Gap([]string{"kept:a"}, errCut)
		p.expect("message kept:a 3")
		if got := p.heardOf("kept:a"); !slices.Equal(got, []string{"1", "2", "3"}) || count(p.lines(), "gap kept:a") != 1 {
			t.Errorf("heard %v", p.lines())
		}
	})
}
