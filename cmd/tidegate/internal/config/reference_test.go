package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidegate/gateway/rules"
)

const referencePath = "../../../../deploy/configuration.md"

// The reference is generated from the table of settings: UPDATE_GOLDEN=1 writes it.
func TestReference_IsWhatTheCodeSays(t *testing.T) {
	want := reference()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(referencePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: UPDATE_GOLDEN=1 go test -run TestReference ./cmd/tidegate/internal/config", referencePath)
	}
}

const referenceHead = `# All settings

Generated from the code by ` + "`UPDATE_GOLDEN=1 go test -run TestReference ./cmd/tidegate/internal/config`" + `.
To get started, see [Running Tidegate](README.md#configuration).

` + "`redis.url`, `TIDEGATE_REDIS_URL` and `--redis-url`" + ` are one setting: in the file, where each part of
a name is a level (` + "`redis: {url: …}`" + `), in the environment and as a flag.

- A duration needs a unit: ` + "`500ms`, `10s`, `5m`" + `. A number of bytes can have one: ` + "`64KiB`" + `.
- A limit of 0 means no limit. The limits that are calculated from it are then 0, too.
- "By the machine": calculated from its memory and open-file limit; ` + "`tidegate check`" + `
  prints the value.
- A variable that begins with ` + "`TIDEGATE_`" + ` but belongs to no setting causes a warning, or an error
  if it looks like a misspelt setting.
- A relative file name is relative to the working directory of the gateway.
- Lists in the environment and in flags are written as in YAML:
  ` + "`TIDEGATE_ORIGINS='[\"https://a.example.com\", \"https://b.example.com\"]'`" + `. A list of strings
  can also be written with commas alone: ` + "`TIDEGATE_ORIGINS=https://a.example.com,https://b.example.com`" + `.
`

func reference() string {
	var text strings.Builder
	text.WriteString(referenceHead)
	group := "none yet"
	smaller := onMachine(1<<10, 1<<30)
	for i, s := range onMachine(1<<20, 64<<30) {
		if of := groupOf(s); of != group {
			group = of
			title := "`" + of + "`"
			if of == "" {
				title = "Top level"
			}
			fmt.Fprintf(&text, "\n## %s\n\n| setting | description | value | default |\n|---|---|---|---|\n", title)
		}
		byDefault := code(s.kind.now)
		if s.kind.now != smaller[i].kind.now {
			byDefault = "by the machine"
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", s.name, strings.ReplaceAll(s.usage, "`", ""), toGive(s), byDefault)
	}
	writeFields(&text, "Fields of a rule in `channels`", "[Rules](../gateway/README.md#rules)", ruleSettings(&rules.Rule{}))
	writeFields(&text, "Fields of a key in `auth.api_keys`", "[API keys](../gateway/auth/README.md#api-keys)", new(APIKey).settings())
	writeFields(&text, "Fields of an app in `pusher.apps`", "[Pusher clients and backends](../gateway/pusher/README.md)", new(PusherApp).settings())
	return text.String()
}

// onMachine returns the settings with the defaults for a machine, ordered by group.
func onMachine(descriptors int, memory int64) []setting {
	c := Default()
	c.Limits, c.Connections = limitsWithin(descriptors, memory)
	table := c.settings()
	first := func(s setting) int {
		return slices.IndexFunc(table, func(other setting) bool { return groupOf(other) == groupOf(s) })
	}
	ordered := slices.Clone(table)
	slices.SortStableFunc(ordered, func(a, b setting) int { return first(a) - first(b) })
	return ordered
}

// groupOf returns the first part of a name that has several.
func groupOf(s setting) string {
	group, _, nested := strings.Cut(s.name, ".")
	if !nested {
		return ""
	}
	return group
}

// toGive returns what to give, without the examples that an error message has.
func toGive(s setting) string {
	return regexp.MustCompile(`,? such as .*| with its unit| \(put it in quotes\)`).ReplaceAllString(s.kind.want, "")
}

func writeFields(text *strings.Builder, title, guide string, fields []setting) {
	fmt.Fprintf(text, "\n## %s\n\nExplained in %s.\n\n| field | value | default |\n|---|---|---|\n", title, guide)
	for _, s := range fields {
		fmt.Fprintf(text, "| `%s` | %s | %s |\n", s.name, toGive(s), code(s.kind.now))
	}
}

func code(value string) string {
	if value == "" || value == "[]" {
		return "–"
	}
	return "`" + value + "`"
}
