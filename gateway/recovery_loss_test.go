package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"

	"pgregory.net/rapid"
)

// forgetful is a broker whose history may be lost, or begin a new epoch with the messages it
// has, like that of Redis. It stores them in a Memory, under other epochs and offsets.
type forgetful struct {
	*lossy
	receiver broker.Receiver

	// Guarded by mu.
	mu     sync.Mutex
	inner  string // the Memory's epoch
	epochs int
	epoch  string
	base   uint64 // the Memory's offset before the first of the epoch
	former broker.Position
}

const fleeting = "kept:a"

func newForgetful(size int) (*forgetful, gateway.Config) {
	m := &forgetful{lossy: newLossy(), epoch: "e0"}
	rules := rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: size}}
	return m, gateway.Config{
		Broker: m, History: m, Rules: rules, Limits: gateway.Limits{OutboxBytes: 1 << 10},
		Ping: time.Hour, // clients are silent for long
	}
}

// restart begins a new epoch that keeps all messages.
func (m *forgetful) restart(t *testing.T) {
	top := m.innerTop(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.former = broker.Position{Epoch: m.epoch, Offset: top.Offset - m.base}
	m.begin()
}

// flush loses everything.
func (m *forgetful) flush(t *testing.T) {
	top := m.innerTop(t)
	m.clear(t)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.former, m.base = broker.Position{}, top.Offset
	m.begin()
}

// clear trims all messages.
func (m *forgetful) clear(t *testing.T) {
	must(t, m.Memory.Clear(t.Context(), fleeting))
}

func (m *forgetful) begin() {
	m.epochs++
	m.epoch = fmt.Sprint("e", m.epochs)
}

func (m *forgetful) innerTop(t *testing.T) broker.Position {
	tops, err := m.Memory.Tops(t.Context(), []string{fleeting})
	must(t, err)
	return tops[0].Position
}

func (m *forgetful) Run(ctx context.Context, r broker.Receiver) error {
	m.receiver = r
	m.lossy.receiver = m.told()
	return m.Memory.Run(ctx, m.lossy)
}

// told assigns messages their positions on the way to the gateway.
func (m *forgetful) told() broker.Receiver { return placing{m.receiver, m} }

type placing struct {
	broker.Receiver
	forgetful *forgetful
}

func (p placing) Receive(message broker.Message) {
	message.Position = p.forgetful.outer(message.Position)
	p.Receiver.Receive(message)
}

func (m *forgetful) outer(at broker.Position) broker.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at.IsZero() {
		return at
	}
	m.inner = at.Epoch
	return broker.Position{Epoch: m.epoch, Offset: at.Offset - m.base}
}

// innerAfter returns the position to read the Memory from, and whether after is of a lost
// epoch. The caller must hold mu.
func (m *forgetful) innerAfter(after broker.Position) (inner broker.Position, lost bool) {
	switch after.Epoch {
	case m.epoch:
	case m.former.Epoch:
		after.Offset, lost = min(after.Offset, m.former.Offset), true
	default:
		after.Offset, lost = 0, true
	}
	return broker.Position{Epoch: m.inner, Offset: after.Offset + m.base}, lost
}

// within calls do for one epoch, and again if another epoch begins in the meantime.
func (m *forgetful) within(do func(after func(broker.Position) (broker.Position, bool)) error) error {
	for {
		m.mu.Lock()
		epoch := m.epoch
		m.mu.Unlock()
		err := do(func(after broker.Position) (broker.Position, bool) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.innerAfter(after)
		})
		m.mu.Lock()
		same := epoch == m.epoch
		m.mu.Unlock()
		if same {
			return err
		}
	}
}

func (m *forgetful) Publish(message broker.Message, o broker.PublishOptions, done func(broker.Position, error)) {
	m.Memory.Publish(message, o, func(at broker.Position, err error) { done(m.outer(at), err) })
}

func (m *forgetful) Since(ctx context.Context, channel string, after broker.Position, most broker.Most) (page broker.Page, err error) {
	err = m.within(func(innerAfter func(broker.Position) (broker.Position, bool)) (err error) {
		inner, lost := innerAfter(after)
		page, err = m.lossy.Since(ctx, channel, inner, most)
		page.Lost = !after.IsZero() && (page.Lost || lost)
		m.place(&page)
		return err
	})
	return page, err
}

func (m *forgetful) Tops(ctx context.Context, channels []string) (tops []broker.Top, err error) {
	err = m.within(func(func(broker.Position) (broker.Position, bool)) (err error) {
		tops, err = m.Memory.Tops(ctx, channels)
		for i := range tops {
			tops[i].Position = m.outer(tops[i].Position)
			m.mu.Lock()
			tops[i].Former = m.former
			m.mu.Unlock()
		}
		return err
	})
	return tops, err
}

// place translates what was read from the Memory to positions of the epoch.
func (m *forgetful) place(page *broker.Page) {
	page.Top = m.outer(page.Top)
	for i := range page.Messages {
		page.Messages[i].Position = m.outer(page.Messages[i].Position)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	page.Former = m.former
}

// TestRecovery_EveryHoleIsTold runs random stories in which the history is trimmed, lost, and
// begun anew. At the end every client must have received the newest message and none twice.
// Wherever messages are missing, it must have been told before the next one.
func TestRecovery_EveryHoleIsTold(t *testing.T) {
	steps := []string{"publish", "publish", "publish", "burst", "lose", "find", "away", "back", "gap", "trim", "flush",
		"restart", "stall", "read", "leave", "resume", "slip in", "wait", "long"}
	rapid.Check(t, func(rt *rapid.T) {
		story := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(steps).Draw(rt, "what"), rapid.IntRange(0, 2).Draw(rt, "who")}
		}), 1, 60).Draw(rt, "story")
		var wrong string
		synctest.Test(t, func(t *testing.T) { wrong = tellOfLoss(t, story) })
		if wrong != "" {
			rt.Fatalf("after %v: %s", story, wrong)
		}
	})
}

func tellOfLoss(t *testing.T, story []step) string {
	m, config := newForgetful(30)
	n := startNode(t, config)
	published := 0
	publish := func(times int) {
		for range times {
			n.publish(fleeting, "%d-%s", published, strings.Repeat("x", 200))
			published++
		}
	}
	publish(1)
	witnesses := make([]*witness, 3)
	for i := range witnesses {
		witnesses[i] = &witness{}
		witnesses[i].connect(n)
	}
	restarted := false
	for _, s := range story {
		w := witnesses[s.who]
		switch s.what {
		case "publish":
			publish(1)
		case "burst":
			for range 20 {
				publish(1)
				synctest.Wait() // all that read keep up
			}
		case "lose":
			m.losing.Store(true)
		case "find":
			m.losing.Store(false)
		case "away":
			m.away.Store(true)
		case "back":
			m.away.Store(false)
		case "gap":
			m.receiver.Gap([]string{fleeting}, errCut)
		case "trim":
			m.clear(t)
		case "flush":
			m.flush(t)
			restarted = false
		case "restart":
			if !restarted { // nothing is known of the epoch before the former one
				m.restart(t)
				restarted = true
			}
		case "stall":
			w.stall()
		case "read":
			w.read()
		case "leave":
			w.leave()
		case "resume":
			m.away.Store(false)
			w.connect(n)
		case "slip in":
			w.slipIn(n)
		case "wait":
			time.Sleep(3 * time.Second)
		case "long":
			time.Sleep(40 * time.Second)
		}
	}
	m.losing.Store(false)
	m.away.Store(false)
	for _, w := range witnesses {
		w.read()
		w.connect(n)
	}
	time.Sleep(time.Minute) // those that were stalled for too long are closed by now
	for _, w := range witnesses {
		w.connect(n)
	}
	synctest.Wait() // there is room in the outboxes
	publish(1)
	time.Sleep(time.Minute)
	synctest.Wait()
	for i, w := range witnesses {
		w.leave()
		if wrong := w.judge(published - 1); wrong != "" {
			return fmt.Sprintf("client %d: %s", i, wrong)
		}
	}
	return ""
}

// witness is a client that resumes where it was. Its log has the numbers of the messages that
// it received, and lost.
type witness struct {
	peer    *peer
	reading func()
	cursor  string
	log     []int
}

const lost = -1

// connect subscribes from the client's position, unless it is connected.
func (w *witness) connect(n *node) {
	if w.isOn() {
		return
	}
	w.leave()
	w.peer = n.connect(gateway.Hello{})
	for answers := 1; ; answers++ {
		w.peer.send("sub %s %s", fleeting, w.cursor)
		subscribed, refused := 0, 0
		w.peer.until("an answer", func() bool {
			subscribed, refused = w.answers()
			return subscribed+refused == answers
		})
		if subscribed > 0 {
			return
		}
	}
}

// slipIn is like connect for a client that does not read yet.
func (w *witness) slipIn(n *node) {
	if w.peer == nil {
		w.peer = n.connect(gateway.Hello{})
		w.stall()
		w.peer.send("sub %s %s", fleeting, w.cursor)
		synctest.Wait()
	}
}

// isOn reports whether the client is subscribed, or will be when it reads again.
func (w *witness) isOn() bool {
	if w.peer == nil || w.peer.isClosed() {
		return false
	}
	synctest.Wait()
	subscribed, _ := w.answers()
	return subscribed > 0 || w.reading != nil
}

func (w *witness) answers() (subscribed, refused int) {
	for _, line := range w.peer.lines() {
		switch {
		case strings.HasPrefix(line, "subscribed"):
			subscribed++
		case strings.HasPrefix(line, "error unavailable"):
			refused++
		}
	}
	return subscribed, refused
}

func (w *witness) stall() {
	if w.peer != nil && w.reading == nil {
		w.reading = w.peer.stall()
	}
}

func (w *witness) read() {
	if w.reading != nil {
		w.reading()
		w.reading = nil
	}
}

// leave closes the connection and logs what it has received.
func (w *witness) leave() {
	if w.peer == nil {
		return
	}
	w.peer.Close(gateway.Lost, nil)
	for _, line := range w.peer.lines() {
		switch word := strings.Fields(line); {
		case word[0] == "message":
			number, _, _ := strings.Cut(word[2], "-")
			at, _ := strconv.Atoi(number)
			w.log, w.cursor = append(w.log, at), word[3]
		case word[0] == "gap", strings.HasSuffix(line, "recovered=false"):
			w.log = append(w.log, lost)
		}
	}
	w.read() // what was still waiting has not arrived
	w.peer = nil
}

// judge returns what is wrong with the log, or "".
func (w *witness) judge(newest int) string {
	told, last := true, -1 // it need not know of anything before its first message
	for _, at := range w.log {
		switch {
		case at == lost:
			told = true
			continue
		case at <= last:
			return fmt.Sprintf("message %d came after %d: %v", at, last, w.log)
		case at > last+1 && !told:
			return fmt.Sprintf("nothing was told of what is missing between %d and %d: %v", last, at, w.log)
		}
		told, last = false, at
	}
	if !slices.Contains(w.log, newest) {
		return fmt.Sprintf("the newest message, %d, did not come: %v", newest, w.log)
	}
	return ""
}

// held is a broker whose live messages arrive when the history has been asked how far it goes.
type held struct {
	*lossy

	mu  sync.Mutex
	all []broker.Message // guarded by mu
}

func (h *held) Run(ctx context.Context, r broker.Receiver) error {
	h.receiver = r
	return h.Memory.Run(ctx, h)
}

func (h *held) Receive(m broker.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, m)
}

func (h *held) letGo() {
	h.mu.Lock()
	all := h.all
	h.all = nil
	h.mu.Unlock()
	for _, m := range all {
		h.receiver.Receive(m)
	}
}

func (h *held) Tops(ctx context.Context, channels []string) ([]broker.Top, error) {
	tops, err := h.Memory.Tops(ctx, channels)
	time.AfterFunc(900*time.Millisecond, h.letGo)
	return tops, err
}

// TestQuiet_WhatIsOnItsWayIsNotMissed has checks of quiet channels find in the history what
// arrives a moment later, more than the history keeps.
func TestQuiet_WhatIsOnItsWayIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &held{lossy: newLossy()}
		n := startNode(t, gateway.Config{Broker: b, History: b, Rules: rules.List{{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 1}}})
		p := n.connect(gateway.Hello{})
		p.send("sub kept:a")
		p.expect("subscribed kept:a")
		var want []string
		for _, payloads := range [][]string{{"1"}, {"2", "3", "4"}} {
			for _, payload := range payloads {
				n.publish("kept:a", "%s", payload)
				want = append(want, payload)
			}
			p.expect("message kept:a " + payloads[len(payloads)-1])
		}
		if got := p.heardOf("kept:a"); !slices.Equal(got, want) {
			t.Errorf("received %q", p.lines())
		}
	})
}
