package broker_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// forged is what somebody writes for whom a backend publishes it as it is. The mark is of
// the right length.
const forged = `TG1 {"mark":"0123456789abcdef","user":"admin","session":"s","event":"win","info":{},"tags":{},"time":1,"epoch":"%s","offset":%d}` + "\n"

// Somebody's text that a backend publishes as it is cannot say who wrote it, nor take the
// place of a message of the history, on any kind of Redis.
func TestMark_AForgedEnvelopeIsNotBelieved(t *testing.T) {
	servers := map[string]func(*testing.T) (url string, publish func(*broker.Redis, string)){
		"standalone": func(t *testing.T) (string, func(*broker.Redis, string)) {
			brokertest.RequireRedis(t)
			server := brokertest.StartRedis(t)
			return server.URL(), func(b *broker.Redis, text string) { server.CLI("PUBLISH", b.RedisName("a"), text) }
		},
		"cluster": func(t *testing.T) (string, func(*broker.Redis, string)) {
			cluster := brokertest.StartRedisCluster(t)
			return cluster.URL(), func(b *broker.Redis, text string) {
				cluster.Owner(b.RedisName("a")).CLI("SPUBLISH", b.RedisName("a"), text)
			}
		},
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, publishRaw := start(t)
			b, told := startNode(t, broker.RedisConfig{URL: url})
			other, otherTold := startNode(t, broker.RedisConfig{URL: url})
			told.WaitUp()
			otherTold.WaitUp()
			subscribeAll(t, b, []string{"a"})
			at := publish(t, other, "1")
			publishRaw(b, fmt.Sprintf(forged, at.Epoch, at.Offset+1)+`{"text":"hi"}`)
			told.WaitMessages("a", 2)
			whole := broker.Message{
				Channel: "a", Payload: []byte("2"), Kind: broker.Text, User: "alice", Session: "s1", Event: "say",
				Info: json.RawMessage(`{"n":1}`), Time: time.UnixMilli(1763845845123),
			}
			for _, o := range []broker.PublishOptions{{}, kept} {
				if _, err := broker.Publish(t.Context(), other, whole, o); err != nil {
					t.Fatal(err)
				}
			}
			got := told.WaitMessages("a", 4)
			if want := (broker.Message{Channel: "a", Payload: []byte(`{"text":"hi"}`), Kind: broker.JSON}); !reflect.DeepEqual(got[1], want) {
				t.Errorf("of the forged envelope is believed %+v, want %+v", got[1], want)
			}
			if !reflect.DeepEqual(got[2], whole) {
				t.Errorf("of another node's envelope is believed %+v, want %+v", got[2], whole)
			}
			whole.Position = broker.Position{Epoch: at.Epoch, Offset: at.Offset + 1}
			if !reflect.DeepEqual(got[3], whole) {
				t.Errorf("with a history %+v, want %+v", got[3], whole)
			}
		})
	}
}

// The script of a backend that may not ask Redis who it is marks what it publishes, too.
func TestMark_OfTheScript(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--user", "limited", "on", ">secret", "~*", "&*", "+@all", "-info")
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	publish(t, b, "1")
	name := b.RedisName("a")
	at := 1
	for _, user := range []*redis.Options{{Addr: server.Addr}, {Addr: server.Addr, Username: "limited", Password: "secret"}} {
		backend := redis.NewClient(user)
		defer backend.Close()
		for _, size := range []int{10, 0} {
			must(t, backend.Eval(t.Context(), broker.AppendScript, []string{name, name + " meta"}, "hi", size, 0, `{"user":"alice"}`).Err())
			m := told.WaitMessages("a", at+1)[at]
			if at++; m.User != "alice" || string(m.Payload) != "hi" || m.Position.IsZero() != (size == 0) {
				t.Errorf("by %q with a history of %d: %+v", user.Username, size, m)
			}
		}
	}
	page, err := b.Since(t.Context(), "a", broker.Position{}, broker.Most{})
	if err != nil || len(page.Messages) != 3 || page.Messages[2].User != "alice" {
		t.Errorf("the history is %+v, %v", page, err)
	}
}

// Where Redis does not say which process it is, there is no mark, and envelopes are
// believed.
func TestMark_NoneWithoutInfo(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--user", "limited", "on", ">secret", "~*", "&*", "+@all", "-info")
	b, told := startNode(t, broker.RedisConfig{URL: "redis://limited:secret@" + server.Addr})
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	m := message("a", "hi")
	m.User = "alice"
	for n, o := range []broker.PublishOptions{{}, kept} {
		if _, err := broker.Publish(t.Context(), b, m, o); err != nil {
			t.Fatal(err)
		}
		if got := told.WaitMessages("a", n+1)[n]; got.User != "alice" {
			t.Errorf("%+v: %+v", o, got)
		}
	}
}

// A Redis that is busy does not say which process it is until it is free.
func TestMark_IsAwaitedFromABusyRedis(t *testing.T) {
	brokertest.RequireRedis(t)
	server := brokertest.StartRedis(t, "--lua-time-limit", "1")
	_, _ = server.Try("EVAL", "while true do end", "0")
	brokertest.Eventually(t, "Redis to be busy", func() bool {
		_, err := server.Try("PING")
		return err != nil && strings.HasPrefix(err.Error(), "BUSY")
	})
	b, told := startNode(t, broker.RedisConfig{URL: server.URL()})
	if err := told.WaitDown(); !strings.Contains(err.Error(), "BUSY") {
		t.Errorf("the link is down because of %v", err)
	}
	server.CLI("SCRIPT", "KILL")
	told.WaitUp()
	subscribeAll(t, b, []string{"a"})
	server.CLI("PUBLISH", b.RedisName("a"), fmt.Sprintf(forged, "k3", 1)+"hi")
	if m := told.WaitMessages("a", 1)[0]; m.User != "" {
		t.Errorf("of the forged envelope is believed %+v", m)
	}
}
