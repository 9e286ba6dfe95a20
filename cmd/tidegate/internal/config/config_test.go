package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"tidegate/gateway/rules"
)

// write puts text into a new file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read returns the configuration of a file, an environment and flags.
func read(t *testing.T, file string, environ []string, flags ...string) *reading {
	t.Helper()
	set := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := NewSource(set, environ, Names()...)
	if file != "" {
		flags = append(flags, "--config", write(t, "tidegate.yaml", file))
	}
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	c, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readWell(t *testing.T, file string, environ []string, flags ...string) Config {
	t.Helper()
	c := read(t, file, environ, flags...)
	if err := c.problems.err(); err != nil {
		t.Fatal(err)
	}
	return c.config
}

func TestConfig_TheLaterSourceWins(t *testing.T) {
	const (
		file = "redis: {prefix: 'file:'}"
		env  = "TIDEGATE_REDIS_PREFIX=env:"
		flag = "--redis-prefix=flag:"
	)
	for _, c := range []struct {
		name, file string
		environ    []string
		flags      []string
		want       string
	}{
		{"nothing", "", nil, nil, "tidegate:"},
		{"file", file, nil, nil, "file:"},
		{"file with a dot in the name", "redis.prefix: 'file:'", nil, nil, "file:"},
		{"environment", "", []string{env}, nil, "env:"},
		{"flag", "", nil, []string{flag}, "flag:"},
		{"file and environment", file, []string{env}, nil, "env:"},
		{"file and flag", file, nil, []string{flag}, "flag:"},
		{"environment and flag", "", []string{env}, []string{flag}, "flag:"},
		{"all", file, []string{env}, []string{flag}, "flag:"},
		{"an empty variable counts as none", file, []string{"TIDEGATE_REDIS_PREFIX="}, nil, "file:"},
		{"null counts as none", "redis: {prefix: }", nil, nil, "tidegate:"},
		{"an empty group", "redis:\n", nil, nil, "tidegate:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := readWell(t, c.file, c.environ, c.flags...).Redis.Prefix; got != c.want {
				t.Errorf("redis.prefix is %q, want %q", got, c.want)
			}
		})
	}
}

func TestConfig_TheFileIsNamedByTheEnvironmentToo(t *testing.T) {
	path := write(t, "a.yaml", "redis: {prefix: 'a:'}")
	if got := readWell(t, "", []string{"TIDEGATE_CONFIG=" + path}).Redis.Prefix; got != "a:" {
		t.Errorf("redis.prefix is %q, want that of the file", got)
	}
	if got := readWell(t, "redis: {prefix: 'b:'}", []string{"TIDEGATE_CONFIG=" + path}).Redis.Prefix; got != "b:" {
		t.Errorf("redis.prefix is %q, want that of the file of --config", got)
	}
}

func TestConfig_EveryNameIsUniqueInEverySpelling(t *testing.T) {
	seen := map[string]string{}
	for _, s := range new(Config).settings() {
		for _, name := range []string{s.name, s.env(), "--" + s.flag()} {
			if other, taken := seen[name]; taken {
				t.Errorf("%s stands for %s and for %s", name, other, s.name)
			}
			seen[name] = s.name
		}
	}
}

func TestConfig_ReadsEveryKind(t *testing.T) {
	got := readWell(t, `
listen: ":80"
log: {level: warn, format: json}
origins: [https://a.example, https://b.example]
trusted_proxies: [10.0.0.0/8, 192.168.1.7, "::1"]
auth:
  anonymous: False
  api_keys:
    - {name: shop, key: 0123456789abcdef}
    - {name: desk, key_file: desk.key}
  jwt: {issuer: me, leeway: 30s}
channels:
  - match: "chat:*"
    subscribe: authenticated
    publish: token
    presence: True
    join_leave: true
    history: {size: 100, ttl: 10m, replicas: 1}
    delay: 5ms
  - {match: "ticker:*", subscribe: anyone, publish: nobody, conflate: true}
  - {match: "plain:*", subscribe: anyone, bare: true}
limits: {message_bytes: 64KiB, outbox_bytes: 2 MiB, outbox_total_bytes: 1GiB, inbound_bytes: 1_000_000, sessions: 10_000}
drain: {window: 0}
`, nil)
	if got.Listen != ":80" || got.Log.Level != slog.LevelWarn || got.Log.Format != "json" {
		t.Errorf("listen %q, log %v", got.Listen, got.Log)
	}
	if want := []string{"https://a.example", "https://b.example"}; !slices.Equal(got.Origins, want) {
		t.Errorf("origins %q, want %q", got.Origins, want)
	}
	if want := "[10.0.0.0/8 192.168.1.7/32 ::1/128]"; fmt.Sprint(got.TrustedProxies) != want {
		t.Errorf("trusted_proxies %v, want %v", got.TrustedProxies, want)
	}
	if got.Auth.Anonymous || got.Auth.JWT.Issuer != "me" || got.Auth.JWT.Leeway != 30*time.Second {
		t.Errorf("auth %+v", got.Auth)
	}
	keys := []APIKey{{Name: "shop", Key: "0123456789abcdef"}, {Name: "desk", KeyFile: "desk.key"}}
	if !reflect.DeepEqual(got.Auth.APIKeys, keys) {
		t.Errorf("auth.api_keys %+v, want %+v", got.Auth.APIKeys, keys)
	}
	rules := rules.List{
		{
			Match: "chat:*", Subscribe: rules.Authenticated, Publish: rules.Token,
			Presence: true, JoinLeave: true, HistorySize: 100, HistoryTTL: 10 * time.Minute, Replicas: 1, Delay: 5 * time.Millisecond,
		},
		{Match: "ticker:*", Subscribe: rules.Anyone, Publish: rules.Nobody, Conflate: true},
		{Match: "plain:*", Subscribe: rules.Anyone, Bare: true},
	}
	if !slices.Equal(got.Rules, rules) {
		t.Errorf("channels %+v\nwant %+v", got.Rules, rules)
	}
	if got.Limits.MessageBytes != 64<<10 || got.Limits.OutboxBytes != 2<<20 || got.Limits.OutboxTotalBytes != 1<<30 ||
		got.Limits.InboundBytes != 1e6 || got.Limits.Sessions != 10_000 {
		t.Errorf("limits %+v", got.Limits)
	}
	if got.DrainWindow != 0 {
		t.Errorf("drain.window %v, want 0", got.DrainWindow)
	}
}

func TestConfig_ListsGoOnOneLineInTheEnvironmentAndInFlags(t *testing.T) {
	got := readWell(t, "origins: [https://file.example]",
		[]string{
			"TIDEGATE_ORIGINS=https://a.example, https://b.example",
			"TIDEGATE_AUTH_API_KEYS=[{name: shop, key: 0123456789abcdef}]",
		},
		`--channels=[{"match": "*", "history": {"size": 7}}]`, `--cors-headers=["X-One", "X-Two"]`)
	if want := []string{"https://a.example", "https://b.example"}; !slices.Equal(got.Origins, want) {
		t.Errorf("origins %q, want %q", got.Origins, want)
	}
	if want := []string{"X-One", "X-Two"}; !slices.Equal(got.CORSHeaders, want) {
		t.Errorf("cors_headers %q, want %q", got.CORSHeaders, want)
	}
	if want := []APIKey{{Name: "shop", Key: "0123456789abcdef"}}; !reflect.DeepEqual(got.Auth.APIKeys, want) {
		t.Errorf("auth.api_keys %+v, want %+v", got.Auth.APIKeys, want)
	}
	if want := (rules.List{{Match: "*", HistorySize: 7}}); !slices.Equal(got.Rules, want) {
		t.Errorf("channels %+v, want %+v", got.Rules, want)
	}
}

// Each setting is given a mapping in the file, which none of them accepts.
func TestConfig_AWrongTypeNamesKeyLineAndWhatIsWanted(t *testing.T) {
	for _, s := range new(Config).settings() {
		t.Run(s.name, func(t *testing.T) {
			c := read(t, "# one line before\n"+s.name+": {hunter2: hunter2}\n", nil)
			got := c.problems.Error()
			want := fmt.Sprintf("tidegate.yaml:2: %s: given a mapping, want ", s.name)
			if !strings.Contains(got, want) {
				t.Errorf("error %q, want %q", got, want)
			}
		})
	}
}

func TestConfig_AWrongValueNamesWhatWasGiven(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"listen: 8080", "1: listen: given the integer 8080, want an address, host:port, such as 127.0.0.1:8080"},
		{"listen: '127.0.0.1:http'", `given the string "127.0.0.1:http", want an address`},
		{"listen: '127.0.0.1:65536'", `given the string "127.0.0.1:65536", want an address`},
		{"log: {level: loud}", `1: log.level: given the string "loud", want debug, info, warn or error`},
		{"log: {format: xml}", `log.format: given the string "xml", want text or json`},
		{"redis: {prefix: 7}", "redis.prefix: given the integer 7, want a string (put it in quotes)"},
		{"redis: {prefix: 1.5}", "redis.prefix: given the number 1.5, want a string"},
		{"redis: {prefix: true}", "redis.prefix: given the boolean true, want a string"},
		{"redis: {prefix: 2020-01-02}", "redis.prefix: given the date 2020-01-02, want a string"},
		{"redis: none", "1: redis: given a string, want a mapping such as {url: ...}"},
		{"origins: https://a.example", "origins: given a string, want a list of strings"},
		{"origins: [7]", "origins[0]: given the integer 7, want a string"},
		{"trusted_proxies: [localhost]", `trusted_proxies[0]: given the string "localhost", want an address or a network`},
		{"auth: {anonymous: yes}", `auth.anonymous: given the string "yes", want true or false`},
		{"auth: {jwt: {leeway: 5}}", "auth.jwt.leeway: given the integer 5, want a duration with its unit, such as"},
		{"limits: {sessions: many}", `limits.sessions: given the string "many", want an integer`},
		{"limits: {sessions: '5'}", `limits.sessions: given the string "5", want an integer`},
		{"limits: {sessions: 1.5}", "limits.sessions: given the number 1.5, want an integer"},
		{"limits: {sessions: 99999999999999999999}", "limits.sessions: given the"},
		{"limits: {message_bytes: 64KB}", `limits.message_bytes: given the string "64KB", want a number of bytes such as 65536 or 64KiB`},
		{"limits: {message_bytes: 9223372036854775807KiB}", "limits.message_bytes: given the string"},
		{"channels:\n- match: a\n  subscribe: all", `3: channels[0].subscribe: given the string "all", want anyone, authenticated, token or nobody`},
		{"channels: {match: a}", "channels: given a mapping, want a list such as [{match: ...}]"},
		{"channels: [a]", "channels[0]: given a string, want a mapping such as {match: ...}"},
		{"channels:\n- match: a\n  history: 5", "3: channels[0].history: given an integer, want a mapping such as {size: ...}"},
		{"[a, b]", "1: given a list, want a mapping such as {listen: ...}"},
		{"just text", "1: given a string, want a mapping"},
		{"{[a]: b}", "1: a key is a list, want a name"},
		{"listen: ':1'\nlisten: ':2'", "2: listen is given twice, first on line 1"},
		{"redis: {prefix: a}\nredis.prefix: b", "2: redis.prefix is given twice, first on line 1"},
		{"listen: ':1'\n---\nlisten: ':2'", "a second YAML document starts here"},
		{"listen: [", "this is not YAML: "},
		{"channels:\n- match: *", "this is not YAML: a value that begins with a special character, such as * or @, must be put in quotes"},
		{"channels:\n- match: *:x", "this is not YAML: a value that begins with a special character"},
		{"channels:\n- match: chat:*\n- match: @*", "3: this is not YAML: a value that begins with a special character"},
		{"redis:\n\tprefix: a", "2: this line is indented by a tab: YAML wants spaces"},
		{"channels:\n  - match: a\n  \tsubscribe: anyone", "3: this line is indented by a tab: YAML wants spaces"},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			if got := read(t, c.yaml, nil).problems.Error(); !strings.Contains(got, c.want) {
				t.Errorf("error %q\nwant  %q", got, c.want)
			}
		})
	}
}

func TestConfig_AWrongValueNamesItsVariableOrFlag(t *testing.T) {
	got := read(t, "", []string{"TIDEGATE_LIMITS_SESSIONS=many"}, "--drain-window=5", "--channels=[{match: 7}]").problems.Error()
	for _, want := range []string{
		`TIDEGATE_LIMITS_SESSIONS: limits.sessions: given the string "many", want an integer`,
		`--drain-window: drain.window: given the string "5", want a duration`,
		`--channels: channels[0].match: given the integer 7, want a string`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("error %q lacks %q", got, want)
		}
	}
}

func TestConfig_AnUnknownKeyNamesTheNearest(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"lisen: ':1'", "1: unknown key lisen: the nearest known one is listen"},
		{"\nredis: {ulr: x}", "2: unknown key redis.ulr: the nearest known one is redis.url"},
		{"redis_url: x", "unknown key redis_url: the nearest known one is redis.url"},
		{"reddis: {url: x}", "unknown key reddis: the nearest known one is redis"},
		{"sessions: 5", "unknown key sessions: the nearest known one is limits.sessions"},
		{"auth: {jwt_secret: x}", "unknown key auth.jwt_secret: the nearest known one is auth.jwt.secret"},
		{"auth: {api_keys: [{nam: x}]}", "unknown key auth.api_keys[0].nam: the nearest known one is auth.api_keys[0].name"},
		{"channels:\n- match: a\n- match: b\n  histroy: {size: 1}", "4: unknown key channels[1].histroy: the nearest known one is channels[1].history"},
		{"channels: [{history: {sizes: 1}}]", "unknown key channels[0].history.sizes: the nearest known one is channels[0].history.size"},
	} {
		t.Run(c.yaml, func(t *testing.T) {
			if got := read(t, c.yaml, nil).problems.Error(); !strings.Contains(got, c.want) {
				t.Errorf("error %q\nwant  %q", got, c.want)
			}
		})
	}
}

func TestConfig_AMisspeltVariableNamesTheNearest(t *testing.T) {
	for misspelt, want := range map[string]string{
		"TIDEGATE_REDIS_ULR=x":       "TIDEGATE_REDIS_ULR: unknown variable: the nearest known one is TIDEGATE_REDIS_URL",
		"TIDEGATE_LIMTS_SESSIONS=5":  "TIDEGATE_LIMTS_SESSIONS: unknown variable: the nearest known one is TIDEGATE_LIMITS_SESSIONS",
		"TIDEGATE_AUTH_JWT_SECRT=x":  "the nearest known one is TIDEGATE_AUTH_JWT_SECRET",
		"TIDEGATE_CONFG=tidegate.ya": "the nearest known one is TIDEGATE_CONFIG",
		"TIDEGATE_TOKN=x":            "the nearest known one is TIDEGATE_TOKEN",
	} {
		if got := read(t, "", []string{misspelt}).problems.Error(); !strings.Contains(got, want) {
			t.Errorf("%s: error %q, want %q", misspelt, got, want)
		}
	}
}

func TestConfig_WarnsOfAVariableWithoutASetting(t *testing.T) {
	for unknown, want := range map[string]string{
		"TIDEGATE_REDIS=redis://127.0.0.1": "TIDEGATE_REDIS: unknown variable, which is ignored: the nearest known one is TIDEGATE_REDIS_URL",
		"TIDEGATE_JWT_SECRET=x":            "TIDEGATE_JWT_SECRET: unknown variable, which is ignored: the nearest known one is TIDEGATE_AUTH_JWT_SECRET",
		"TIDEGATE_REDIS_ADDR=x":            "TIDEGATE_REDIS_ADDR: unknown variable",
		"TIDEGATE_VERSION=1.2.3":           "TIDEGATE_VERSION: unknown variable",
	} {
		c := read(t, "", []string{unknown})
		if got := c.warnings.Error(); len(c.problems) > 0 || !strings.Contains(got, want) {
			t.Errorf("%s: warning %q, want %q; problems %v", unknown, got, want, c.problems)
		}
	}
}

// Kubernetes sets variables named after Services.
func TestConfig_VariablesOfOthersAreLeftAlone(t *testing.T) {
	c := read(t, "", []string{
		"TIDEGATE_TOKEN=a.b.c",
		"TIDEGATE_PORT=tcp://10.0.0.1:80",
		"TIDEGATE_SERVICE_HOST=10.0.0.1",
		"TIDEGATE_SERVICE_PORT_HTTP=80",
		"TIDEGATE_PORT_8080_TCP_PROTO=tcp",
		"TIDEGATE_REDIS_PORT=tcp://10.0.0.2:6379",
		"TIDEGATE_REDIS_SERVICE_HOST=10.0.0.2",
		"TIDEGATE_INTERNAL_PORT=tcp://10.0.0.3:9080",
	})
	if found := slices.Concat(c.problems, c.warnings); len(found) > 0 {
		t.Error(found)
	}
}

func TestConfig_RulesThatAreGoodForNothing(t *testing.T) {
	const key = "\nauth.jwt.secret: 0123456789abcdef0123456789abcdef"
	const hook = `
webhooks: {url: "https://a.example", secret: 0123456789abcdef, events: [connect]}`
	const app = `
pusher: {apps: [{id: a, key: k, secret: 0123456789abcdef}]}`
	const disabled = `
pusher: {apps: [{id: a, key: k, secret: 0123456789abcdef, enabled: false}]}`
	for yaml, want := range map[string]string{
		"channels: [{match: 'a b', subscribe: anyone}]":                                                           `channels[0]: no channel's name matches "a b"`,
		"channels: [{match: '" + strings.Repeat("x", 256) + "', subscribe: anyone}]":                              "no channel's name matches",
		"channels: [{match: '@', subscribe: anyone}]":                                                             "no channel's name matches",
		"channels: [{match: '*', subscribe: anyone}, {match: 'a:*', subscribe: nobody}]":                          "channels[1]: the rule for \"a:*\" never applies: channels[0]",
		"channels: [{match: '*', subscribe: token}]":                                                              "channels[0]: subscribe: token requires a token",
		"{redis: {url: 'redis://127.0.0.1:6379'}, channels: [{match: '*', publish: anyone, history: {size: 5}}]}": "channels[0]: history has no ttl",
		"channels: [{match: '*', publish: authenticated}]":                                                        "channels[0]: publish: authenticated requires a token",
		"channels: [{match: '*', publish: token}]" + hook:                                                         "publish: token",
		"channels: [{match: '*', publish: token, subscribe: authenticated}]" + key:                                "",
		"channels: [{match: '*', publish: authenticated}]" + hook:                                                 "",
		"channels: [{match: '*', subscribe: token, publish: authenticated}]" + app:                                "",
		"channels: [{match: '*', subscribe: token}]" + disabled:                                                   "subscribe: token",
		"channels: [{match: '*', publish: token}]" + app:                                                          "publish: token",
		"channels: [{match: '@*', subscribe: anyone}, {match: 'a*', subscribe: anyone}]":                          "",
	} {
		c := read(t, yaml, nil)
		c.validate()
		if err := c.problems.err(); err != nil {
			t.Errorf("%s: %v", yaml, err)
		}
		if got := c.warnings.Error(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: warnings %q, want %q", yaml, got, want)
		}
	}
}

func TestConfig_PortsAreInRange(t *testing.T) {
	for _, yaml := range []string{
		"listen: '127.0.0.1:65536'",
		"internal_listen: '127.0.0.1:-1'",
		"redis: {url: 'redis://127.0.0.1:65536'}",
		"auth: {jwt: {jwks_url: 'https://id.example:65536/keys'}}",
		"webhooks: {url: 'https://a.example:65536', secret: 0123456789abcdef, events: [connect]}",
	} {
		if c := read(t, yaml, nil); valid(c) {
			t.Errorf("%s is accepted", yaml)
		}
	}
}

func TestConfig_OriginsAreCheckedForForm(t *testing.T) {
	for _, good := range []string{"*", "https://a.example", "https://a.example:8443", "https://*.example", "http://localhost:*", "app://."} {
		if c := read(t, "origins: ['"+good+"']", nil); !valid(c) {
			t.Errorf("%q: %v", good, c.problems)
		}
	}
	for _, bad := range []string{"a.example", "https://", "https://a.example/", "https://user@a.example", "https://a.example?x", "//a.example", "https://a b"} {
		if c := read(t, "origins: ['"+bad+"']", nil); valid(c) {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
}

func valid(c *reading) bool {
	c.validate()
	return len(c.problems) == 0
}

func TestConfig_TheWebSocketEngineFitsTheRest(t *testing.T) {
	for yaml, want := range map[string]string{
		"websocket: {engine: auto}":                       "",
		"websocket: {engine: portable}":                   "",
		"websocket: {engine: fast}":                       `given the string "fast", want auto, epoll or portable`,
		"websocket: {engine: epoll}\ntls: {cert_file: c}": "websocket.engine: epoll ",
	} {
		c := read(t, yaml, nil)
		c.validateWebSocket()
		if got := c.problems.Error(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}

func TestConfig_ThePathsOfCentrifugeClientsArePaths(t *testing.T) {
	for yaml, want := range map[string]string{
		"centrifuge: {path: '', api_path: ''}":           "",
		"centrifuge: {path: /a/b, api_path: /c}":         "",
		"centrifuge: {path: connection}":                 "centrifuge.path: ",
		"centrifuge: {path: /connection/}":               "centrifuge.path: ",
		"centrifuge: {path: '/{channel}'}":               "centrifuge.path: ",
		"centrifuge: {emulation_path: emulation}":        "centrifuge.emulation_path: ",
		"centrifuge: {api_path: 'api centrifugo'}":       "centrifuge.api_path: ",
		"centrifuge: {emulation_path: /poll}":            "centrifuge.emulation_path: ",
		"centrifuge: {emulation_path: /ws}":              "centrifuge.emulation_path: ",
		"centrifuge: {emulation_path: /healthz}":         "centrifuge.emulation_path: ",
		"centrifuge: {emulation_path: /dev}":             "centrifuge.emulation_path: ",
		"centrifuge: {path: /a, emulation_path: /a/sse}": "centrifuge.emulation_path: ",
		"centrifuge: {path: '', emulation_path: /poll}":  "",
	} {
		c := read(t, yaml, nil)
		c.validateCentrifuge()
		if got := c.problems.Error(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}

func TestConfig_AliasesAreFollowed(t *testing.T) {
	got := readWell(t, "channels:\n- {match: a, history: &h {size: 3}}\n- {match: b, history: *h}\n", nil)
	if got.Rules[1].HistorySize != 3 {
		t.Errorf("history.size of the alias is %d, want 3", got.Rules[1].HistorySize)
	}
}

func TestSecret_IsNeverShown(t *testing.T) {
	const hunter2 = "hunter2"
	c := Config{
		Redis:    Redis{URL: hunter2},
		Auth:     Auth{APIKeys: []APIKey{{Name: "a", Key: hunter2}}, JWT: JWT{Secret: hunter2}},
		Webhooks: Webhooks{Secret: hunter2},
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("config", "config", c, "secret", c.Redis.URL)
	}
	for _, shown := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%x", c.Redis.URL),
		string(asJSON), log.String(),
	} {
		if strings.Contains(shown, hunter2) || strings.Contains(shown, "68756e74657232") {
			t.Errorf("shown: %s", shown)
		}
	}
}

// No error quotes a secret, even if it has the wrong type or is in the wrong place.
func TestConfig_NoErrorQuotesASecret(t *testing.T) {
	for i, yaml := range []string{
		"redis: {url: [hunter2]}",
		"redis: {url: {hunter2: hunter2}}",
		"redis: hunter2",
		"redis: {url: 'redis://:hunter2@host:99999'}",
		"redis: {url: 'hunter2'}",
		"redis: {url: 'redis://user:hunter2#@host:99999999'}",
		"auth: {jwt: hunter2}",
		"auth: {jwt: {secret: !hunter2 x}}",
		"auth: {jwt: {secret: *hunter2}}",
		"auth: {jwt: {secret: hunter2}}",
		"auth: {api_keys: hunter2}",
		"auth: {api_keys: [hunter2]}",
		"auth: {api_keys: [{name: a, key: hunter2}]}",
		"auth: {api_keys: [{name: a, key: {hunter2: x}}]}",
		"auth: {jwt: {secret: hunter2, secret_file: x}}",
		"webhooks: {secret: [hunter2]}",
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			c := read(t, yaml, nil)
			c.validate()
			if len(c.problems) == 0 {
				t.Fatal("no error")
			}
			if said := c.problems.Error() + c.warnings.Error(); strings.Contains(said, "hunter2") {
				t.Errorf("said: %s", said)
			}
		})
	}
	numbers := read(t, "auth: {jwt: {secret: 271828182845}}", []string{"TIDEGATE_AUTH_API_KEYS=[{name: a, key: 271828182845}]"})
	if said := numbers.problems.Error(); len(numbers.problems) != 2 || strings.Contains(said, "271828182845") {
		t.Errorf("said: %s", said)
	}
}

// By default a node accepts no more connections than its file descriptors allow, and no
// address gets all of them.
func TestDefault_LimitsFollowFromTheFileDescriptors(t *testing.T) {
	for _, descriptors := range []int{1024, 20_000, 1 << 20} {
		limits, connections := limitsWithin(descriptors, 1<<40)
		if all := limits.Sessions + connections.Most + reserveOf(descriptors); all > descriptors || all < descriptors-1 {
			t.Errorf("%d descriptors: sessions %d and connections %d with a reserve of %d are %d", descriptors, limits.Sessions, connections.Most, reserveOf(descriptors), all)
		}
		if limits.SessionsPerIP == 0 || limits.SessionsPerIP > limits.Sessions/4 || connections.PerIP == 0 || connections.PerIP > connections.Most/4 {
			t.Errorf("%d descriptors: %d sessions of an address and %d connections", descriptors, limits.SessionsPerIP, connections.PerIP)
		}
	}
}

func TestDefault_ATinyMachineHasLimitsToo(t *testing.T) {
	for _, memory := range []int64{32 << 20, 64 << 20} {
		if limits, connections := limitsWithin(1024, memory); limits.Sessions <= 0 || connections.Most <= 0 {
			t.Errorf("with %s: %d sessions and %d connections", Size(memory), limits.Sessions, connections.Most)
		}
	}
}

func TestRead_WhereAllHaveOneAddressItHasNoLimit(t *testing.T) {
	for _, c := range []struct {
		environ []string
		limited bool
		given   bool // only some of the limits are set
	}{
		{nil, false, false},
		{[]string{"TIDEGATE_TRUSTED_PROXIES=127.0.0.1"}, true, false},
		{[]string{"TIDEGATE_LISTEN=:8080"}, true, false},
		{[]string{"TIDEGATE_LIMITS_SESSIONS_PER_IP=7", "TIDEGATE_LIMITS_CONNECTIONS_PER_IP=7"}, true, true},
	} {
		read, err := NewSource(pflag.NewFlagSet("", pflag.ContinueOnError), c.environ).Read()
		if err != nil {
			t.Fatal(err)
		}
		if got := read.Limits.SessionsPerIP > 0; got != c.limited {
			t.Errorf("%q: sessions_per_ip is %d", c.environ, read.Limits.SessionsPerIP)
		}
		if got := read.Limits.CommandsPerSecondPerIP > 0 && read.Limits.BytesPerSecondPerIP > 0; !c.given && got != c.limited {
			t.Errorf("%q: commands_per_second_per_ip is %d", c.environ, read.Limits.CommandsPerSecondPerIP)
		}
		if got := read.Limits.InboundBytesPerIP > 0; !c.given && got != c.limited {
			t.Errorf("%q: inbound_bytes_per_ip is %d", c.environ, read.Limits.InboundBytesPerIP)
		}
		if got := read.Connections.PerIP > 0; got != c.limited {
			t.Errorf("%q: connections_per_ip is %d", c.environ, read.Connections.PerIP)
		}
	}
}

func TestRead_LimitsFollowFromOthers(t *testing.T) {
	commandsOfAddress := func(c *Config) int { return c.Limits.CommandsPerSecondPerIP }
	subscriptions := func(c *Config) int { return c.Limits.Subscriptions }
	for _, c := range []struct {
		environ []string
		limit   func(*Config) int
		want    int
	}{
		{[]string{"TIDEGATE_LISTEN=:8080"}, commandsOfAddress, 50 * 100},
		{[]string{"TIDEGATE_LISTEN=:8080", "TIDEGATE_LIMITS_COMMANDS_PER_SECOND=7"}, commandsOfAddress, 50 * 7},
		{[]string{"TIDEGATE_LISTEN=:8080", "TIDEGATE_LIMITS_COMMANDS_PER_SECOND=0"}, commandsOfAddress, 0},
		{[]string{"TIDEGATE_LIMITS_COMMANDS_PER_SECOND_PER_IP=9"}, commandsOfAddress, 9},
		{[]string{"TIDEGATE_LISTEN=:8080", "TIDEGATE_LIMITS_SESSIONS=70"}, func(c *Config) int { return c.Limits.SessionsPerIP }, 7},
		{[]string{"TIDEGATE_LISTEN=:8080", "TIDEGATE_LIMITS_CONNECTIONS=5"}, func(c *Config) int { return c.Connections.PerIP }, 1},
		{[]string{"TIDEGATE_LIMITS_SESSIONS=70"}, subscriptions, 8 * 70},
		{[]string{"TIDEGATE_LIMITS_SESSIONS=70", "TIDEGATE_LIMITS_SUBSCRIPTIONS=100"}, subscriptions, 100},
		{[]string{"TIDEGATE_LIMITS_SESSIONS=0"}, subscriptions, 0},
	} {
		read, err := NewSource(pflag.NewFlagSet("", pflag.ContinueOnError), c.environ).Read()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.limit(read); got != c.want {
			t.Errorf("%q: the limit is %d, want %d", c.environ, got, c.want)
		}
	}
}
