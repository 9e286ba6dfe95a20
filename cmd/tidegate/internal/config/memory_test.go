package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/pusher"
)

// The default limits fit into the memory of any machine.
func TestDefault_LimitsFitIntoTheMemory(t *testing.T) {
	for _, memory := range []int64{1 << 30, 2 << 30, 4 << 30, 64 << 30} {
		for _, descriptors := range []int{1024, 20_000, 1 << 20} {
			c := readWell(t, "redis.url: redis://127.0.0.1", nil)
			c.Limits, c.Connections = limitsWithin(descriptors, memory)
			sum, unbounded := c.Memory().Container()
			if sum > memory || len(unbounded) > 0 {
				t.Errorf("%d descriptors and %s: the sum is %s, without a bound are %q", descriptors, Size(memory), Size(sum), unbounded)
			}
			if c.Limits.Sessions < 500 {
				t.Errorf("%d descriptors and %s: only %d sessions", descriptors, Size(memory), c.Limits.Sessions)
			}
		}
	}
}

func TestMemory_SaysWhatHasNoBound(t *testing.T) {
	for limit, part := range map[string]string{
		"sessions":           "sessions",
		"subscriptions":      "subscriptions",
		"connections":        "HTTP connections",
		"outbox_total_bytes": "outboxes in total",
		"inbound_bytes":      "held for clients",
	} {
		c := readWell(t, "redis.url: redis://127.0.0.1\nlimits."+limit+": 0", nil)
		if _, unbounded := c.Memory().Container(); !slices.Contains(unbounded, part) {
			t.Errorf("limits.%s is 0: without a bound are %q, want %q among them", limit, unbounded, part)
		}
		for _, p := range c.Memory() {
			if (p.Bytes == Unbounded) != (p.How == "any number") {
				t.Errorf("limits.%s is 0: %s are %q and %d bytes", limit, p.What, p.How, p.Bytes)
			}
		}
	}
	c := readWell(t, "channels: [{match: '*', history: {size: 1}}]", nil)
	if _, unbounded := c.Memory().Process(); !slices.Equal(unbounded, []string{"histories in memory"}) {
		t.Errorf("in memory: without a bound are %q", unbounded)
	}
}

func TestConfig_LimitsThatTheMachineCannotHold(t *testing.T) {
	c := read(t, "limits: {sessions: 900, connections: 100}", nil)
	c.warnOfTooLittle(1024, 64<<30)
	if got := c.warnings.Error(); !strings.Contains(got, "limits.sessions: with limits.connections it allows 1000 connections") {
		t.Errorf("warnings %q", got)
	}
	c = read(t, "limits: {sessions: 9000, connections: 100}", nil)
	c.warnOfTooLittle(1<<20, 256<<20)
	if got := c.warnings.Error(); !strings.Contains(got, "of memory, but the machine has 256 MiB") {
		t.Errorf("warnings %q", got)
	}
}

// boundTests are the tests that fail if a part of the sum is no longer bounded, by the
// folder of their package.
var boundTests = map[string][]string{
	"sessions":                  {"gateway.TestSession_LimitsHold", "gateway.TestLimits_SessionsOfAnAddress"},
	"subscriptions":             {"gateway.TestLimits_SubscriptionsOfTheNode"},
	"HTTP connections":          {"cmd/tidegate.TestConnections_AreBoundedInAll", "cmd/tidegate.TestConnections_RequestsOverHTTP2AreBounded", "cmd/tidegate.TestServe_ManyHeadersAreRefused", "gateway/transport.TestPump_HoldsAFewBytesAndLosesNone"},
	"internal connections":      {"cmd/tidegate.TestConnections_OfTheInternalListenerAreBounded"},
	"outboxes in total":         {"gateway.TestLimits_OutboxesAreBoundedInAll", "gateway.TestSession_SlowClientIsClosedAndOthersAreNot"},
	"held for clients":          {"gateway/api.TestBodies_AreBoundedInAll", "gateway/websocket.TestUnfinished_MessagesShareOneBound", "gateway.TestLimits_PublishesOnTheirWayShareTheNodesRoom", "gateway.TestSendTo_LinesShareTheNodesRoom", "gateway.TestChannels_LongAnswersShareTheNodesRoom", "gateway/transport.TestCollector_HoldsOfTheNodesRoomWhatItHas"},
	"recent history":            {"gateway/internal/timeline.TestTail_AllTailsOfANodeAreBounded", "gateway/internal/timeline.TestStore_TheArchiveIsBoundedAndForgets", "gateway/internal/timeline.TestLatest_TakesNoMoreThanANodeHasForAll"},
	"rates of departed clients": {"gateway/internal/rates.TestTable_KeepsNoMoreThanSoMany", "gateway/internal/rates.TestTable_ABucketTakesNoMoreThanItsBytes"},
	"bans and revocations":      {"broker.TestRedis_Standalone", "broker.TestMemory", "gateway/internal/denials.TestDenial_TakesNoMoreThanItsBytes"},
	"connections to Redis":      {"broker.TestAnswerBounds", "broker.TestWireReader_Bounds"},
	"messages between nodes":    {"gateway/internal/cluster.TestRoom_WhatANodeAsksAndTellsIsBounded", "gateway/internal/cluster.TestRoom_WhatANodeIsAskedIsBounded", "gateway/internal/cluster.TestRoom_WhatIsReceivedIsBounded", "gateway/internal/cluster.TestRoom_NodesThatAreKnownAreBounded"},
	"idempotency keys":          {"broker.TestMemoryKeys_AreBoundedAndTheOldestGo"},
	"webhooks":                  {"gateway/webhook.TestClient_FewLongAnswersAreReadAtOnce", "gateway/webhook.TestAsk_AnAnswerWithALongHeaderIsNone", "gateway/internal/attendance.TestLines_PostsAreBoundedWhileTheyAreOnTheirWay", "gateway/internal/attendance.TestLines_BytesOfPostsAreBounded"},
	"compressors":               {"gateway/websocket.TestDeflate_MakesNoMoreThanThereMayBe"},
	"garbage":                   {"cmd/tidegate.TestServe_CollectsGarbageBeforeTheSumIsReached"},
	"kernel buffers":            {"cmd/tidegate.TestListen_TheKernelHoldsLittleForAPeerThatDoesNotRead"},
}

func TestMemory_EveryPartHasATestOfItsBound(t *testing.T) {
	files := map[string]string{}
	parts := map[string]bool{"the program": true, "histories in memory": true} // not bounded by a limit
	for _, text := range []string{
		"redis.url: redis://127.0.0.1\ncompression.enabled: true\nwebhooks: {url: 'http://127.0.0.1/', secret: 0123456789abcdef01234567, events: [connect]}",
		"channels: [{match: '*', history: {size: 1}}]",
		"{}",
	} {
		c := readWell(t, text, nil)
		for _, part := range c.Memory() {
			for _, name := range boundTests[part.What] {
				folder, name, _ := strings.Cut(name, ".")
				if files[folder] == "" {
					files[folder] = testsOf(t, folder)
				}
				if !strings.Contains(files[folder], "\nfunc "+name+"(") {
					t.Errorf("%s: there is no %s in %s", part.What, name, folder)
				}
			}
			if len(boundTests[part.What]) == 0 && !parts[part.What] {
				t.Errorf("no test fails where %s are bounded no more", part.What)
			}
			parts[part.What] = true
		}
	}
	for what := range boundTests {
		if !parts[what] {
			t.Errorf("the sum has no %s", what)
		}
	}
}

// testsOf returns the source of the tests in a folder.
func testsOf(t *testing.T, folder string) string {
	t.Helper()
	names, err := filepath.Glob("../../../../" + folder + "/*_test.go")
	if err != nil || len(names) == 0 {
		t.Fatal(folder, err)
	}
	var text strings.Builder
	for _, name := range names {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(source)
	}
	return text.String()
}

// Redis keeps an idempotency key once more for each webhook that is told of its message.
func TestInRedis_CountsTheKeysOfEveryWebhook(t *testing.T) {
	app := func(prefix string, events ...[]string) PusherApp {
		var a PusherApp
		a.Prefix = prefix
		for _, names := range events {
			a.Webhooks = append(a.Webhooks, pusher.Webhook{URL: "http://127.0.0.1", Events: names})
		}
		return a
	}
	disabled := app("d:", nil, nil, nil, nil, nil)
	disabled.Disabled = true
	own := Webhooks{URL: "http://127.0.0.1", Events: []gateway.HookEvent{gateway.OnPublished}}
	for name, test := range map[string]struct {
		webhooks Webhooks
		apps     []PusherApp
		copies   int64
	}{
		"no webhooks":                {Webhooks{}, nil, 1},
		"the gateway's":              {own, nil, 2},
		"of another event":           {Webhooks{URL: "http://127.0.0.1", Events: []gateway.HookEvent{gateway.OnConnect}}, []PusherApp{app("", []string{"member_added"})}, 1},
		"an app's, of all events":    {Webhooks{}, []PusherApp{app("", nil)}, 2},
		"two of an app":              {Webhooks{}, []PusherApp{app("a:", nil, []string{"client_event"})}, 3},
		"apps that never meet":       {Webhooks{}, []PusherApp{app("a:", nil, nil), app("b:", nil)}, 3},
		"apps that share channels":   {own, []PusherApp{app("", nil), app("", nil), app("b:", nil)}, 5},
		"an app that is not enabled": {Webhooks{}, []PusherApp{disabled}, 1},
	} {
		c := Config{Webhooks: test.webhooks, Pusher: Pusher{Apps: test.apps}}
		c.Limits.KeysPerSecond = 10
		if got, want := c.InRedis().Bytes, test.copies*10*300*keyBytes; got != want {
			t.Errorf("%s: %d bytes, want %d", name, got, want)
		}
	}
}
