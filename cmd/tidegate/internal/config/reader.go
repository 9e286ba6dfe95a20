package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is a name that can be set, bound to its variable.
type setting struct {
	name  string // "redis.url"
	usage string
	kind  kind
}

// env returns the setting's environment variable: TIDEGATE_REDIS_URL.
func (s setting) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.name, ".", "_"))
}

const EnvPrefix = "TIDEGATE_"

// flag returns the setting's flag without the dashes: redis-url.
func (s setting) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.name)
}

// kind is a type of values, bound to the variable that gets the value.
type kind struct {
	name   string // for the help text: "duration"
	want   string // what to write: "a duration such as 10s"
	secret bool   // errors must not quote the value
	now    string // the current value, for the help text

	// set parses the text of a flag, an environment variable or a YAML scalar. Its error
	// only says that the text is invalid.
	set func(text string) error
	// tags are the YAML scalar tags that set accepts. If there are none, node is used.
	tags []string
	// node parses a value that is not a scalar.
	node func(c *reading, path string, n *yaml.Node)
}

// file parses a YAML document into the settings of table.
func (c *reading) file(name string, document []byte, table []setting) {
	c.source = name
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		if !c.tabs(document) {
			c.syntax(err)
		}
		return
	}
	c.mapping("", root.Content[0], table)
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		c.malformed("", &second, "a second YAML document starts here: put everything into one")
	}
}

// line parses the value of a variable or flag into one setting.
func (c *reading) line(source, given string, s setting) {
	c.source, c.oneLine = source, true
	isYAML := s.kind.node != nil && strings.HasPrefix(strings.TrimSpace(given), "[")
	if s.kind.set != nil && !isYAML {
		c.note(s.name, 0)
		if s.kind.set(given) != nil {
			c.wrongType(s.name, s.kind, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: given})
		}
		return
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(given), &root); err != nil {
		c.syntax(err)
		return
	}
	if len(root.Content) > 0 {
		c.value(s.name, s.kind, root.Content[0])
	}
}

// mapping parses a mapping whose keys are the names of table, with dots or nested. base is
// the prefix of the paths.
func (c *reading) mapping(base string, n *yaml.Node, table []setting) {
	c.group(base, "", n, table, map[string]int{})
}

func (c *reading) group(base, group string, n *yaml.Node, table []setting, seen map[string]int) {
	n, path := resolve(n), join(base, group)
	c.note(path, n.Line)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		first := slices.IndexFunc(table, func(s setting) bool { return group == "" || strings.HasPrefix(s.name, group+".") })
		key, _, _ := strings.Cut(strings.TrimPrefix(table[first].name, group+"."), ".")
		c.wrongType(path, kind{secret: true, want: "a mapping such as {" + key + ": ...}"}, n)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			c.malformed(path, key, "%sa key is %s, want a name", prefixed(path), describe(key, true))
			continue
		}
		name := join(group, key.Value)
		if first, twice := seen[name]; twice {
			c.malformed(join(base, name), key, "%s is given twice, first on line %d", join(base, name), first)
			continue
		}
		seen[name] = key.Line
		c.entry(base, name, key, value, table, seen)
	}
}

func (c *reading) entry(base, name string, key, value *yaml.Node, table []setting, seen map[string]int) {
	if i := slices.IndexFunc(table, func(s setting) bool { return s.name == name }); i >= 0 {
		c.value(join(base, name), table[i].kind, value)
		return
	}
	if slices.ContainsFunc(table, func(s setting) bool { return strings.HasPrefix(s.name, name+".") }) {
		c.group(base, name, value, table, seen)
		return
	}
	c.malformed(join(base, name), key, "unknown key %s: the nearest known one is %s",
		join(base, name), join(base, Nearest(name, names(table))))
}

// value parses the value of one setting.
func (c *reading) value(path string, k kind, n *yaml.Node) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	c.note(path, n.Line)
	if k.node != nil {
		k.node(c, path, n)
		return
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(k.tags, n.ShortTag()) || k.set(n.Value) != nil {
		c.wrongType(path, k, n)
	}
}

func (c *reading) wrongType(path string, k kind, n *yaml.Node) {
	c.malformed(path, n, "%sgiven %s, want %s", prefixed(path), describe(n, k.secret), k.want)
}

// malformed records a problem with the form of a setting, at a node.
func (c *reading) malformed(path string, n *yaml.Node, format string, args ...any) {
	c.problems = append(c.problems, problem{path, c.here(n.Line), fmt.Sprintf(format, args...)})
}

func (c *reading) note(path string, line int) { c.places[path] = c.here(line) }

// here returns the place of a line of the source that is being read.
func (c *reading) here(line int) place {
	if c.oneLine {
		line = 0
	}
	return place{c.source, line}
}

// tabs records the first line that is indented by a tab. The YAML parser's message for that
// is hard to understand.
func (c *reading) tabs(document []byte) (found bool) {
	number := 0
	for line := range bytes.Lines(document) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.ContainsRune(indent, '\t') && len(bytes.TrimSpace(line)) > 0 {
			c.problems = append(c.problems, problem{"", c.here(number), "this line is indented by a tab: YAML wants spaces"})
			return true
		}
	}
	return false
}

// syntax records an error of the YAML parser. Of a value that needs quotes it says that, and
// omits the name of an unknown anchor: it may be a secret that begins with a *.
func (c *reading) syntax(err error) {
	line, text := 0, err.Error()
	if parts := yamlError.FindStringSubmatch(text); parts != nil {
		line, _ = strconv.Atoi(parts[1])
		text = parts[2]
	}
	if unquoted.MatchString(text) {
		text = "a value that begins with a special character, such as * or @, must be put in quotes"
	}
	c.problems = append(c.problems, problem{"", c.here(line), "this is not YAML: " + text})
}

var (
	yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unquoted  = regexp.MustCompile(`anchor|alphabetic or numeric|cannot start any token`)
)

func names(table []setting) []string {
	all := make([]string, len(table))
	for i, one := range table {
		all[i] = one.name
	}
	return all
}

func join(base, name string) string {
	if base == "" || name == "" {
		return base + name
	}
	return base + "." + name
}

func prefixed(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what n is. It shows the content only of scalars, and not if it is secret.
func describe(n *yaml.Node, secret bool) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	name := map[string]string{
		"!!str": "string", "!!int": "integer", "!!float": "number", "!!bool": "boolean", "!!timestamp": "date",
	}[n.ShortTag()]
	switch {
	case name == "":
		return "something else"
	case secret && name == "integer":
		return "an integer"
	case secret:
		return "a " + name
	case name == "string":
		return fmt.Sprintf("the string %.60q", n.Value)
	}
	return fmt.Sprintf("the %s %.60s", name, n.Value)
}
