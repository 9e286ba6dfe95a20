package broker

import (
	"reflect"
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
		"redis://:s3cret#x@a":               "host or host:port",
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
