package broker_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tidegate/broker"
	"tidegate/broker/brokertest"
)

// keysOfTheReadme returns what the names of keys look like that README.md tells of.
func keysOfTheReadme(t *testing.T) *regexp.Regexp {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range regexp.MustCompile("(?m)^[|] (`tidegate:.*?) [|] .*? [|] .*? [|] .*? [|]$").FindAllSubmatch(readme, -1) {
		for name := range strings.SplitSeq(string(row[1]), ", ") {
			name = regexp.QuoteMeta(strings.Trim(name, "`"))
			names = append(names, strings.NewReplacer("chat:lobby", "[^ ]+", "CHANNEL", "[^ ]+", "LINE", "[^ ]+", "NODE", ".+", "K", ".+").Replace(name))
		}
	}
	if len(names) < 10 {
		t.Fatalf("README.md tells of %q", names)
	}
	return regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")
}

// checkKeysAtTheEnd looks at all keys that a test has left in Redis.
func checkKeysAtTheEnd(t *testing.T, server *brokertest.RedisServer) {
	known := keysOfTheReadme(t)
	t.Cleanup(func() {
		for key := range strings.SplitSeq(server.CLI("KEYS", "tidegate*"), "\n") {
			if key = strings.TrimSpace(key); key != "" && !known.MatchString(key) {
				t.Errorf("README.md tells of no key such as %q", key)
			}
		}
	})
}

// Families of channels would have keys of their own, which last.
func TestNewRedis_APrefixHasAColon(t *testing.T) {
	if _, err := broker.NewRedis(broker.RedisConfig{URL: "redis://127.0.0.1:1", Prefix: "tg"}); err == nil || !strings.Contains(err.Error(), `"tg:"`) {
		t.Errorf("without a colon: %v", err)
	}
	if _, err := broker.NewRedis(broker.RedisConfig{URL: "redis+cluster://127.0.0.1:1", Prefix: "tg"}); err != nil {
		t.Errorf("in a Cluster, where the hash tag ends with one: %v", err)
	}
}
