package pusher

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// The test vectors are from Pusher's documentation.
var documented = App{ID: "3", Key: "278d425bdf160c739803", Secret: "7ad3773142a6692b25b8"}

const documentedSocket = "1234.1234"

func TestApp_VerifiesWhatPusherSigns(t *testing.T) {
	for text, signature := range map[string]string{
		subscriptionText(documentedSocket, "private-foobar", ""): "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
		signInText(documentedSocket, `{"id":"12345"}`):           "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
		subscriptionText(documentedSocket, "presence-foobar",
			`{"user_id":10,"user_info":{"name":"Mr. Channels"}}`): "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
	} {
		if got := sign(documented.Secret, text); got != signature {
			t.Errorf("%s: signed %s, want %s", text, got, signature)
		}
		if auth := documented.Key + ":" + signature; !documented.verify(auth, text) {
			t.Errorf("%s: %s is refused", text, auth)
		}
		for _, forged := range []string{
			"", ":", signature, documented.Key, documented.Key + ":", documented.Key + ":" + signature[:63],
			documented.Key + ":" + strings.Replace(signature, signature[:1], "x", 1), documented.Key + "x:" + signature,
			documented.Key + ":" + sign("another secret", text),
		} {
			if documented.verify(forged, text) {
				t.Errorf("%s: %q is let in", text, forged)
			}
		}
		if documented.verify(documented.Key+":"+signature, text+"x") {
			t.Errorf("%s: the signature is good for another text, too", text)
		}
	}
}

const documentedBody = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`

func documentedQuery() url.Values {
	return url.Values{
		"auth_key": {documented.Key}, "auth_timestamp": {"1353088179"}, "auth_version": {"1.0"},
		"body_md5":       {"ec365a775a4cd0599faeb73354201b6f"},
		"auth_signature": {"da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"},
	}
}

func TestApp_ChecksRequests(t *testing.T) {
	now := time.Unix(1353088179, 0)
	const path = "/apps/3/events"
	for name, c := range map[string]struct {
		change func(url.Values)
		at     time.Duration
		want   string // prefix of the expected problem
	}{
		"as documented":      {change: func(url.Values) {}},
		"600 seconds late":   {change: func(url.Values) {}, at: 600 * time.Second},
		"600 seconds early":  {change: func(url.Values) {}, at: -600 * time.Second},
		"601 seconds late":   {change: func(url.Values) {}, at: 601 * time.Second, want: "auth_timestamp"},
		"601 seconds early":  {change: func(url.Values) {}, at: -601 * time.Second, want: "auth_timestamp"},
		"without a time":     {change: func(q url.Values) { q.Del("auth_timestamp") }, want: "auth_timestamp"},
		"another key":        {change: func(q url.Values) { q.Set("auth_key", "x") }, want: "auth_key"},
		"another version":    {change: func(q url.Values) { q.Set("auth_version", "2.0") }, want: "auth_version"},
		"one parameter more": {change: func(q url.Values) { q.Set("info", "user_count") }, want: "auth_signature"},
		"another body":       {change: func(q url.Values) { q.Set("body_md5", "00") }, want: "auth_signature"},
		"no signature":       {change: func(q url.Values) { q.Del("auth_signature") }, want: "auth_signature"},
		"names in capitals":  {change: func(q url.Values) { q["BODY_MD5"] = q["body_md5"]; q.Del("body_md5") }},
	} {
		query := documentedQuery()
		c.change(query)
		got := documented.checkRequest("POST", path, query, now.Add(c.at))
		if got == "" != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if documented.checkRequest("GET", path, documentedQuery(), now) == "" || documented.checkRequest("POST", "/apps/4/events", documentedQuery(), now) == "" {
		t.Error("the signature is good for another method or path, too")
	}
}

func TestCheckBody(t *testing.T) {
	const ofNothing = "d41d8cd98f00b204e9800998ecf8427e"
	for _, c := range []struct {
		body, digest string
		good         bool
	}{
		{documentedBody, "ec365a775a4cd0599faeb73354201b6f", true},
		{documentedBody, "EC365A775A4CD0599FAEB73354201B6F", true},
		{documentedBody, ofNothing, false},
		{documentedBody, "", false},
		{"", "", true},
		{"", ofNothing, true},
		{"", "ec365a775a4cd0599faeb73354201b6f", false},
	} {
		query := url.Values{}
		if c.digest != "" {
			query.Set("body_md5", c.digest)
		}
		if wrong := checkBody([]byte(c.body), query); (wrong == "") != c.good {
			t.Errorf("%q with %q: %q", c.body, c.digest, wrong)
		}
	}
}

// Verifying a signature must take no more than 10 µs.
func BenchmarkVerify(b *testing.B) {
	b.Run("subscription", func(b *testing.B) {
		auth := documented.Key + ":31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
		for b.Loop() {
			if !documented.verify(auth, subscriptionText(documentedSocket, "presence-foobar", `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`)) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("request", func(b *testing.B) {
		now, query := time.Unix(1353088179, 0), documentedQuery()
		for b.Loop() {
			if wrong := documented.checkRequest("POST", "/apps/3/events", query, now); wrong != "" {
				b.Fatal(wrong)
			}
		}
	})
}
