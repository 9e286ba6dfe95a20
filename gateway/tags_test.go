package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

func TestPublish_TagsAndInfoTravelWithTheMessage(t *testing.T) {
	memory := broker.NewMemory()
	n := startNode(t, gateway.Config{
		Broker: memory, History: memory, Presence: memory,
		Rules: rules.List{
			{Match: "seen:*", Subscribe: rules.Anyone, Publish: rules.Anyone, Presence: true, HistorySize: 5, HistoryTTL: never},
			{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone, HistorySize: 5, HistoryTTL: never},
		},
	})
	alice := &gateway.Principal{User: "alice", Info: json.RawMessage(`{"name":"Al"}`)}
	for channel, info := range map[string]string{"seen:a": `{"name":"Al"}`, "other": ""} {
		_, err := n.Publish(t.Context(), alice, gateway.Publish{Channel: channel, Payload: []byte("1"), Tags: json.RawMessage(`{"color":"red"}`)})
		must(t, err)
		page, err := memory.Latest(t.Context(), channel, broker.Most{Messages: 1})
		if err != nil || len(page.Messages) != 1 {
			t.Fatalf("%d messages, %v", len(page.Messages), err)
		}
		if m := page.Messages[0]; string(m.Info) != info || string(m.Tags) != `{"color":"red"}` {
			t.Errorf("%s: info %s, tags %s; want info %s and the tags", channel, m.Info, m.Tags, info)
		}
	}
}

func TestPublish_TagsThatAreNoneAreRefused(t *testing.T) {
	n := startNode(t, gateway.Config{})
	for _, tags := range []string{`[]`, `{"a":1}`, `{"a":null}`, `null`, `"a"`, `{"a":"` + strings.Repeat("b", 1024) + `"}`} {
		_, err := n.Publish(t.Context(), &gateway.Principal{User: "alice"}, gateway.Publish{Channel: "c", Payload: []byte("1"), Tags: json.RawMessage(tags)})
		wantCode(t, err, gateway.BadRequest)
	}
}
