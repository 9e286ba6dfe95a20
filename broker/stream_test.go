package broker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

var kept = broker.PublishOptions{HistorySize: 10}

func publish(t *testing.T, b broker.Broker, payloads ...string) (last broker.Position) {
	t.Helper()
	for _, payload := range payloads {
		var err error
		if last, err = broker.Publish(t.Context(), b, message("a", payload), kept); err != nil {
			t.Fatalf("Publish: %v", err)
		}
	}
	return last
}

func since(t *testing.T, b broker.History, after broker.Position) ([]string, broker.Page) {
	t.Helper()
	page, err := b.Since(t.Context(), "a", after, broker.Most{})
	if err != nil {
		t.Fatalf("Since: %v", err)
	}
	var payloads []string
	for _, m := range page.Messages {
		if m.Position.Epoch != page.Top.Epoch {
			t.Errorf("message at %v, top at %v", m.Position, page.Top)
		}
		payloads = append(payloads, string(m.Payload))
	}
	return payloads, page
}

// A Redis that comes back from its disk may lack the newest messages, and gives
// their offsets to others.
func TestHistory_RestartBeginsAnEpoch(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	server.CLI("CONFIG", "SET", "appendonly", "no")
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	early := publish(t, b, "1")
	publish(t, b, "2")
	server.CLI("SAVE")
	forgotten := publish(t, b, "3", "4")

	server.Stop()
	told.WaitDown()
	server.Start()
	told.WaitUp()
	after := publish(t, b, "new 3", "new 4", "new 5")
	if after.Epoch == forgotten.Epoch {
		t.Errorf("position %v after the restart has the epoch of %v, which Redis has forgotten", after, forgotten)
	}
	kept := broker.Position{Epoch: early.Epoch, Offset: 2}
	if tops, err := b.Tops(t.Context(), []string{"a"}); err != nil || tops[0] != (broker.Top{Position: after, Former: kept}) {
		t.Errorf("Tops: %+v, %v; want %v after %v", tops, err, after, kept)
	}
	// Nobody may trust an old cursor, and nobody is given again what he has.
	for _, c := range []struct {
		after broker.Position
		want  []string
	}{
		{early, []string{"2", "new 3", "new 4", "new 5"}},
		{forgotten, []string{"new 3", "new 4", "new 5"}},
		{broker.Position{Epoch: "another", Offset: 1}, []string{"1", "2", "new 3", "new 4", "new 5"}},
	} {
		payloads, page := since(t, b, c.after)
		if !page.Lost || !slices.Equal(payloads, c.want) || page.Former != kept {
			t.Errorf("since %v: %q, lost is %v, former %v; want %q, lost, former %v", c.after, payloads, page.Lost, page.Former, c.want, kept)
		}
	}
}

func TestHistory_FlushBeginsAnEpoch(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	before := publish(t, b, "1", "2")
	server.Flush()
	payloads, page := since(t, b, before)
	if !page.Lost || len(payloads) > 0 || page.Top.Epoch == before.Epoch || page.Top.Epoch == "" {
		t.Errorf("since before the flush: %q, %+v", payloads, page)
	}
	if first := publish(t, b, "3"); first.Offset != 1 || first.Epoch == before.Epoch {
		t.Errorf("first message after the flush is at %v, one before it at %v", first, before)
	}
	if payloads, later := since(t, b, page.Top); later.Lost || !slices.Equal(payloads, []string{"3"}) {
		t.Errorf("since nothing, after the flush: %q, %+v", payloads, later)
	}
}

// A history that was lost does not look like one that never was, not even to whom
// came before its first message.
func TestHistory_WhatWasFlushedDoesNotLookUnborn(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	other, otherTold := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	otherTold.WaitUp()
	for round := range 3 {
		_, page := since(t, b, broker.Position{})
		nothing := page.Top
		publish(t, b, "1")
		if payloads, page := since(t, b, nothing); page.Lost || !slices.Equal(payloads, []string{"1"}) {
			t.Errorf("round %d: since nothing: %q, %+v", round, payloads, page)
		}
		if payloads, page := since(t, other, nothing); page.Lost || !slices.Equal(payloads, []string{"1"}) {
			t.Errorf("round %d: since nothing, at another node: %q, %+v", round, payloads, page)
		}
		server.Flush()
		if payloads, page := since(t, b, nothing); !page.Lost || len(payloads) > 0 {
			t.Errorf("round %d: since nothing, flushed: %q, %+v; want lost", round, payloads, page)
		}
		if tops, err := other.Tops(t.Context(), []string{"a"}); err != nil || !tops[0].Unborn() || tops[0].Agrees(nothing) {
			t.Errorf("round %d: Tops of another node, flushed: %v, %v; want not %v", round, tops, err, nothing)
		}
		publish(t, other, "2")
		if payloads, page := since(t, b, nothing); !page.Lost || !slices.Equal(payloads, []string{"2"}) {
			t.Errorf("round %d: since nothing, flushed and begun anew: %q, %+v; want lost", round, payloads, page)
		}
		server.Flush()
	}
}

func TestHistory_ReadingMakesNoKey(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	read := func() {
		t.Helper()
		before := server.CLI("DBSIZE")
		for _, after := range []broker.Position{{}, {Epoch: "gone", Offset: 7}} {
			if _, err := b.Since(t.Context(), "never", after, broker.Most{}); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.Latest(t.Context(), "never", broker.Most{Messages: 10}); err != nil {
			t.Error(err)
		}
		if _, err := b.Tops(t.Context(), []string{"never", "was"}); err != nil {
			t.Error(err)
		}
		if err := b.Clear(t.Context(), "never"); err != nil {
			t.Error(err)
		}
		if after := server.CLI("DBSIZE"); after != before {
			t.Errorf("%s keys before reading, %s after: %s", before, after, server.CLI("KEYS", "*"))
		}
	}
	read()
	publish(t, b, "1")
	read()
}

func TestHistory_DeletedStreamIsLost(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	first := publish(t, b, "1")
	second := publish(t, b, "2")
	server.CLI("DEL", b.RedisName("a"))
	if payloads, page := since(t, b, first); !page.Lost || len(payloads) > 0 {
		t.Errorf("since %v: %q, %+v; want lost", first, payloads, page)
	}
	if _, page := since(t, b, second); page.Lost {
		t.Errorf("since %v: lost, but nothing came after it", second)
	}
	if third := publish(t, b, "3"); third != (broker.Position{Epoch: first.Epoch, Offset: 3}) {
		t.Errorf("the next message is at %v", third)
	}
	if payloads, page := since(t, b, second); page.Lost || !slices.Equal(payloads, []string{"3"}) {
		t.Errorf("since %v: %q, %+v", second, payloads, page)
	}
}

func TestHistory_KeysExpire(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	m := message("a", "1")
	m.Key = "k1"
	o := broker.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute}
	if _, err := broker.Publish(t.Context(), b, m, o); err != nil {
		t.Fatal(err)
	}
	name := b.RedisName("a")
	for key, span := range map[string][2]time.Duration{
		name:             {0, o.HistoryTTL},
		name + " meta":   {o.HistoryTTL + 24*time.Hour - time.Minute, o.HistoryTTL + 36*time.Hour},
		name + " key k1": {broker.IdempotencyWindow - time.Minute, broker.IdempotencyWindow},
	} {
		left, err := time.ParseDuration(server.CLI("PTTL", key) + "ms")
		if err != nil || left <= span[0] || left > span[1] {
			t.Errorf("key %q expires in %v, want between %v and %v", key, left, span[0], span[1])
		}
	}
	publish(t, b, "2") // this one is kept for ever
	for _, key := range []string{name, name + " meta"} {
		if left := server.CLI("PTTL", key); left != "-1" {
			t.Errorf("key %q expires in %s ms, want never", key, left)
		}
	}
}

func TestHistory_ScriptIsLoadedAnew(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	for i := range 3 {
		server.CLI("SCRIPT", "FLUSH")
		if p := publish(t, b, "x"); p.Offset != uint64(i+1) {
			t.Errorf("publish %d is at %v", i+1, p)
		}
	}
}

func TestAppendScript_FromAnyClient(t *testing.T) {
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	name := b.RedisName("a")
	run := func(keys []string, args ...string) string {
		command := append([]string{"EVAL", broker.AppendScript, fmt.Sprint(len(keys))}, keys...)
		return server.CLI(append(command, args...)...)
	}
	plain := []string{name, name + " meta"}
	keyed := []string{name, name + " meta", name + " key k1"}

	first := run(plain, `{"n":1}`, "10", "60000")
	if got := told.WaitMessages("a", 1)[0]; got.Kind != broker.JSON || got.Position.String() != first {
		t.Errorf("received %+v, the script returned %q", got, first)
	}
	second := run(keyed, "two", "10", "60000", `{"user":"alice"}`)
	if again := run(keyed, "two", "10", "60000", `{"user":"alice"}`); again != second {
		t.Errorf("published again at %q, first at %q", again, second)
	}
	if got := told.WaitMessages("a", 2)[1]; got.User != "alice" || got.Kind != broker.Text || got.Position.String() != second {
		t.Errorf("received %+v, the script returned %q", got, second)
	}
	if cursor := run(plain, "three", "0", "0", ""); cursor != "" {
		t.Errorf("a bare message without history has the cursor %q", cursor)
	}
	if got := told.WaitMessages("a", 3)[2]; string(got.Payload) != "three" || !got.Position.IsZero() {
		t.Errorf("received %+v", got)
	}
	payloads, _ := since(t, b, broker.Position{})
	if want := []string{`{"n":1}`, "two"}; !slices.Equal(payloads, want) {
		t.Errorf("history %q, want %q", payloads, want)
	}
}

// The command in AppendScript's comment, as it is printed there.
func TestAppendScript_AsDocumented(t *testing.T) {
	brokertest.RequireRedis(t)
	source, err := os.ReadFile("script.go")
	must(t, err)
	line := regexp.MustCompile(`(?m)^//\t(redis-cli .*)$`).FindSubmatch(source)
	if line == nil {
		t.Fatal("no redis-cli line in script.go")
	}
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"chat:lobby"})

	redisCLI, err := exec.LookPath("redis-cli")
	must(t, err)
	_, port, _ := strings.Cut(server.Addr, ":")
	bin := t.TempDir()
	program(t, bin, "redis-cli", fmt.Sprintf("exec %s -p %s \"$@\"", redisCLI, port))
	program(t, bin, "tidegate", "cat <<'END'\n"+broker.AppendScript+"END")
	command := exec.Command("sh", "-c", string(line[1]))
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line[1], err, output)
	}
	got := told.WaitMessages("chat:lobby", 1)[0]
	if string(got.Payload) != `{"text":"hi"}` || got.Position.String() != strings.TrimSpace(string(output)) {
		t.Errorf("received %+v, the command printed %q", got, output)
	}
}

func program(t *testing.T, dir, name, script string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
}

// Messages that are older than the rule says leave Redis, though nobody reads them and there is
// room for more.
func TestHistory_OldMessagesLeaveAQuietlyGrowingChannel(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t)
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	o := broker.PublishOptions{HistorySize: plenty, HistoryTTL: time.Second}
	brokertest.Eventually(t, "the first message to leave", func() bool {
		_, err := broker.Publish(t.Context(), b, message("a", "x"), o)
		must(t, err)
		return !strings.HasPrefix(server.CLI("XRANGE", b.RedisName("a"), "-", "+", "COUNT", "1"), "0-1\n")
	})
	if payloads, _ := since(t, b, broker.Position{}); len(payloads) == 0 {
		t.Error("the newest messages have left, too")
	}
}
