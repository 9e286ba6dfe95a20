package gateway_test

import (
	"strings"
	"testing"

	"tidegate/gateway"
	"tidegate/gateway/rules"
)

var explained = rules.List{
	{Match: "news:*", Subscribe: rules.Anyone, HistorySize: 5},
	{Match: "chat:*", Subscribe: rules.Authenticated, Publish: rules.Subscribers, Presence: true},
	{Match: "room:*", Subscribe: rules.Token, Publish: rules.Token},
	{Match: "*", Subscribe: rules.Anyone, Publish: rules.Anyone},
}

// TestExplain_DecidesAsTheGatewayDoes checks that Explain says of subscribes and publishes
// what actually happens.
func TestExplain_DecidesAsTheGatewayDoes(t *testing.T) {
	for _, list := range []rules.List{explained, explained[:3], append(rules.List{{Match: "@*", Publish: rules.Authenticated}}, explained...)} {
		n := startNode(t, gateway.Config{Rules: list})
		for _, p := range []gateway.Principal{
			{}, {User: "alice"}, {User: "alice", Subscribe: []string{"room:*"}}, {User: "bob", Publish: []string{"room:1", "news:*"}},
			{Key: "shop"}, {Key: "log", Scope: &gateway.Scope{Channels: []string{"room:*"}, Read: true}},
		} {
			for _, channel := range []string{"news:a", "chat:a", "room:1", "other", "@alice", "@bob"} {
				e, err := n.Explain(&p, channel)
				must(t, err)
				for action, ruling := range map[gateway.Action]gateway.Ruling{gateway.ToSubscribe: e.Subscribe, gateway.ToPublish: e.Publish} {
					err := n.Authorize(&p, action, channel)
					if ruling.Allowed != (err == nil) || err != nil && ruling.Code != gateway.ErrorOf(err).Code || ruling.Why == "" {
						t.Errorf("%+v to %s %s: %+v, and in fact %v", p, action, channel, ruling, err)
					}
				}
				_, err = n.Members(t.Context(), &p, channel)
				if e.Presence.Allowed != (err == nil) || e.Presence.Why == "" {
					t.Errorf("%+v, presence on %s: %+v, and in fact %v", p, channel, e.Presence, err)
				}
				_, err = n.ReadHistory(t.Context(), &p, gateway.History{Channel: channel})
				if e.History.Allowed != (err == nil) || e.History.Why == "" {
					t.Errorf("%+v, history of %s: %+v, and in fact %v", p, channel, e.History, err)
				}
			}
		}
	}
}

func TestExplain_NamesTheRuleAndTheClaim(t *testing.T) {
	n := startNode(t, gateway.Config{Rules: explained[:3]})
	alice := gateway.Principal{User: "alice", Subscribe: []string{"room:*"}, Publish: []string{"room:7"}}
	for _, test := range []struct {
		who                gateway.Principal
		channel            string
		subscribe, publish string
	}{
		{alice, "room:1", `channels[2] (match "room:*") says subscribe: token, and the token's claim subscribe has "room:*"`,
			`channels[2] (match "room:*") says publish: token, and the token's claim publish has only ["room:7"]`},
		{gateway.Principal{}, "chat:1", `channels[1] (match "chat:*") says subscribe: authenticated, and the client is anonymous`,
			`says publish: subscribers: only a session that is on the channel may`},
		{alice, "news:1", `channels[0] (match "news:*") says subscribe: anyone`, `says publish: nobody: only backends may`},
		{alice, "x", "no rule matches", "no rule matches"},
		{alice, "@bob", "personal channel", "no rule matches"},
		{gateway.Principal{Key: "log", Scope: &gateway.Scope{Channels: []string{"room:*"}, Read: true}}, "x", `read on ["room:*"]`, `read on ["room:*"]`},
	} {
		e, err := n.Explain(&test.who, test.channel)
		if err != nil || !strings.Contains(e.Subscribe.Why, test.subscribe) || !strings.Contains(e.Publish.Why, test.publish) {
			t.Errorf("%+v on %s: %+v, %v", test.who, test.channel, e, err)
		}
	}
	if _, err := n.Explain(&alice, "no such name"); gateway.ErrorOf(err).Code != gateway.BadRequest {
		t.Errorf("%v, want bad_request", err)
	}
}

func TestExplain_PersonalChannelsAndBans(t *testing.T) {
	redis := startCluster(t, 1, gateway.Config{Rules: explained, NoAnonymous: true})[0]
	e, err := redis.Explain(&gateway.Principal{User: "alice"}, "@alice")
	if err != nil || !e.Subscribe.Allowed || e.Publish.Allowed || !strings.Contains(e.Publish.Why, "match begins with @") || e.Banned != "" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := redis.Denials.Deny(t.Context(), &gateway.Principal{Key: "shop"}, gateway.Denial{User: "alice", Reason: "spam"}); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"alice": "spam", "": "auth.anonymous", "bob": ""} {
		e, err := redis.Explain(&gateway.Principal{User: user}, "news:1")
		if err != nil || !strings.Contains(e.Banned, want) || (e.Banned == "") != (want == "") {
			t.Errorf("%q is banned because %q, %v", user, e.Banned, err)
		}
	}
}
