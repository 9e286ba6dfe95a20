package broker

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestParseRedisURL(t *testing.T) {
	tests := map[string]redisTarget{
		"redis://localhost":        {addresses: []string{"localhost:6379"}},
		"redis://10.0.0.1:7000/3":  {addresses: []string{"10.0.0.1:7000"}, database: 3},
		"redis://[::1]":            {addresses: []string{"[::1]:6379"}},
		"rediss://al:p%40ss@r:1/":  {addresses: []string{"r:1"}, tls: true, user: "al", password: "p@ss"},
		"redis://:secret@r":        {addresses: []string{"r:6379"}, password: "secret"},
		"redis+cluster://a:1,b,c":  {mode: redisCluster, addresses: []string{"a:1", "b:6379", "c:6379"}},
		"rediss+cluster://:pw@a/0": {mode: redisCluster, addresses: []string{"a:6379"}, tls: true, password: "pw"},
		"redis+sentinel://:pw@a,b:7/main/2?sentinel_user=u&sentinel_password=s": {
			mode: redisSentinel, addresses: []string{"a:26379", "b:7"}, master: "main", database: 2,
			password: "pw", sentinelUser: "u", sentinelPassword: "s",
		},
	}
	for text, want := range tests {
		if got, err := parseRedisURL(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("parseRedisURL(%q)\n got %+v, %v\nwant %+v", text, got, err, want)
		}
	}
}

func TestParseRedisURL_SaysWhatToDo(t *testing.T) {
	tests := map[string]string{
		"":                                  "want redis, redis+sentinel or redis+cluster",
		"localhost:6379":                    "want redis",
		"http://localhost":                  "want redis",
		"redis+magic://localhost":           "want redis",
		"redis+://localhost":                "want redis",
		"redis://":                          "host or host:port",
		"redis://a:b:c":                     "host or host:port",
		"redis://a:0":                       "host or host:port",
		"redis://a,b":                       "one host only",
		"redis://a/x":                       "number of a database",
		"redis://a/1/2":                     "number of a database",
		"redis://a?db=1":                    `unknown parameter "db"`,
		"redis+cluster://a/1":               "database 0",
		"redis+sentinel://a":                "name of the master",
		"redis+cluster://a?sentinel_user=u": "unknown parameter",
		"redis://:s3cret@%zz":               "host or host:port",
		"redis://:s3cret@a:port":            "host or host:port",
		"redis://:s3cret#x@a":               "%23",
		"redis://:s3cret/x@a":               "%2F",
		"redis://:s3cret?x@a":               "%3F",
		"redis://u:s3cret/x@a":              "%2F",
		"redis://u:123/s3cret@a":            "%2F",
		"redis://u:123?s3cret@a":            "%3F",
		"redis://u:123#s3cret@a":            "%23",
		"redis://:x@y/s3cret@a":             "%40",
		"redis://:x@y?s3cret@a":             "%40",
		"redis://a#s3cret":                  "%23",
		"redis+sentinel://u:12?s3cret@a/m":  "%3F",
		"redis+cluster://u:12/s3cret@a,b":   "%2F",
		"redis+cluster://:s3cret@a,,b":      "host or host:port",
		"redis://:s3cret%zz@a":              "want redis://",
	}
	for text, want := range tests {
		_, err := parseRedisURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseRedisURL(%q): %v, want it to say %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("parseRedisURL(%q) shows the password: %v", text, err)
		}
	}
}

func TestNewRedis_DatabaseNeedsAPrefix(t *testing.T) {
	for _, url := range []string{"redis://a/1", "redis+sentinel://a/m/2"} {
		for _, prefix := range []string{"", DefaultPrefix} {
			if _, err := NewRedis(RedisConfig{URL: url, Prefix: prefix}); err == nil || !strings.Contains(err.Error(), "redis.prefix") {
				t.Errorf("%s with prefix %q: %v", url, prefix, err)
			}
		}
		if _, err := NewRedis(RedisConfig{URL: url, Prefix: "shop:"}); err != nil {
			t.Errorf("%s with a prefix of its own: %v", url, err)
		}
	}
	if _, err := NewRedis(RedisConfig{URL: "redis://a/0"}); err != nil {
		t.Errorf("database 0: %v", err)
	}
}

// A configuration that is only looked at leaves nothing behind.
func TestNewRedis_HoldsOnToNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, url := range []string{"redis://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m", "redis+cluster://127.0.0.1:1"} {
		for range 10 {
			if b, err := NewRedis(RedisConfig{URL: url}); err != nil || b.servers.topology != nil {
				t.Fatalf("%s: %v, and clients are made: %v", url, err, b.servers.topology)
			}
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}
