package denials

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

func TestList_Find(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := now.Add(time.Hour)
	list := NewList([]Denial{
		{Token: "t1", Until: later},
		{User: "alice", Until: later},
		{User: "bob", Before: now, Until: later},
		{Address: netip.MustParsePrefix("192.0.2.7/32"), Until: later},
		{Address: netip.MustParsePrefix("2001:db8::/32"), Until: later},
		{User: "carol", Until: now}, // has ended
		{Address: netip.MustParsePrefix("198.51.100.0/24"), Until: later},
		{Address: netip.MustParsePrefix("198.51.100.7/32"), Until: now},
	})
	for _, test := range []struct {
		name   string
		client Client
		found  bool
	}{
		{"nobody", Client{}, false},
		{"a revoked token", Client{User: "x", Token: "t1", ByToken: true}, true},
		{"another token", Client{User: "x", Token: "t2", ByToken: true}, false},
		{"a banned user", Client{User: "alice"}, true},
		{"a token from before", Client{User: "bob", ByToken: true, Issued: now.Add(-time.Second)}, true},
		{"a token without a time", Client{User: "bob", ByToken: true}, true},
		{"a newer token", Client{User: "bob", ByToken: true, Issued: now}, false},
		{"known without a token", Client{User: "bob"}, false},
		{"a banned address", Client{Address: netip.MustParseAddr("192.0.2.7")}, true},
		{"the one beside it", Client{Address: netip.MustParseAddr("192.0.2.8")}, false},
		{"a banned network", Client{Address: netip.MustParseAddr("2001:db8:1::1")}, true},
		{"a ban that is over", Client{User: "carol"}, false},
		{"a narrow ban that is over in a wide one", Client{Address: netip.MustParseAddr("198.51.100.7")}, true},
	} {
		if found := list.Find(test.client, now); (found != nil) != test.found {
			t.Errorf("%s: %v", test.name, found)
		}
	}
	if found := new(List).Find(Client{User: "alice"}, now); found != nil {
		t.Errorf("an empty list forbids: %v", found)
	}
}

func TestDenial_IsReadAsItWasWritten(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	until := since.Add(time.Hour)
	ids := make(map[string]bool)
	for _, d := range []Denial{
		{Token: "t1", By: "shop", Since: since, Until: until},
		{User: "t1", Reason: "spam", Since: since, Until: until},
		{User: "t1", Before: since, Since: since, Until: until},
		{Address: netip.MustParsePrefix("192.0.2.0/24"), Since: since, Until: until},
	} {
		encoded, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		got := Denial{Until: until}
		if err := json.Unmarshal(encoded, &got); err != nil || got != d {
			t.Errorf("%+v became %+v, %v", d, got, err)
		}
		if ids[d.ID()] {
			t.Errorf("%+v has the id of another", d)
		}
		ids[d.ID()] = true
	}
}
