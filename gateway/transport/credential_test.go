package transport

import (
	"net/http/httptest"
	"testing"

	"tidegate/gateway"
)

func TestTokenOf(t *testing.T) {
	for _, c := range []struct {
		header  []string
		query   string
		want    string
		refused bool
	}{
		{nil, "", "", false},
		{nil, "?access_token=t", "t", false},
		{[]string{"Bearer t"}, "", "t", false},
		{[]string{"bEaReR  t "}, "", "t", false},
		{[]string{"Bearer t"}, "?access_token=u", "t", false},
		{[]string{"Basic c2hvcDprZXk="}, "", "", false},
		{[]string{"Basic c2hvcDprZXk="}, "?access_token=t", "t", false},
		{[]string{"Digest username=\"a\", realm=\"b\""}, "", "", false},
		{[]string{"Bearer "}, "", "", true},
		{[]string{"t"}, "", "", true},
		{[]string{"Bearer t", "Bearer t"}, "", "", true},
		{[]string{"Basic c2hvcDprZXk=", "Bearer t"}, "", "", true},
	} {
		r := httptest.NewRequest("GET", "/poll"+c.query, nil)
		for _, value := range c.header {
			r.Header.Add("Authorization", value)
		}
		got, err := TokenOf(r)
		if got != c.want || (err != nil) != c.refused || err != nil && gateway.ErrorOf(err).Code != gateway.Unauthenticated {
			t.Errorf("%q%s: %q, %v; want %q, refused %v", c.header, c.query, got, err, c.want, c.refused)
		}
	}
}
