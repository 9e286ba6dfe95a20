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

// setting is one name that can be set, and where its value goes.
type setting struct {
	name  string // "redis.url"
	usage string
	kind  kind
}

// env returns the setting's name in the environment: TIDEGATE_REDIS_URL.
func (s setting) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.name, ".", "_"))
}

const EnvPrefix = "TIDEGATE_"

// flag returns the setting's name as a flag, without the dashes: redis-url.
func (s setting) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(s.name)
}

// kind is a type of value bound to the variable that takes it.
type kind struct {
	name   string // in the help text: "duration"
	want   string // what to write: "a duration such as 10s"
	secret bool   // errors must not quote what was given
	now    string // the value as it is, for the help text

	// set takes the text of a flag, of the environment or of a YAML scalar.
	// Its error only tells that the text is no such value.
	set func(text string) error
	// tags are the YAML scalars that can be such a value. None: it is read by
	// node.
	tags []string
	// node reads a value that is more than a scalar.
	node func(r *reader, path string, n *yaml.Node)
}

// reader fills settings from one source, and notes where each was given and
// what is wrong. It goes on after a problem, so that all are found at once.
type reader struct {
	source   string
	oneLine  bool             // a variable or a flag: it has no line numbers
	places   map[string]place // by the setting's path: "channels[2].history.ttl"
	problems Problems
}

// file reads a YAML document into the settings of table.
func (r *reader) file(document []byte, table []setting) {
	decoder := yaml.NewDecoder(bytes.NewReader(document))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return
	case err != nil:
		if !r.tabs(document) {
			r.syntax(err)
		}
		return
	}
	r.mapping("", root.Content[0], table)
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.problem("", &second, "a second YAML document begins here: put everything into one")
	}
}

// line reads what a variable or a flag gives to one setting.
func (r *reader) line(given string, s setting) {
	r.oneLine = true
	if s.kind.set != nil {
		r.note(s.name, 0)
		if s.kind.set(given) != nil {
			r.wrongType(s.name, s.kind, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: given})
		}
		return
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(given), &root); err != nil {
		r.syntax(err)
		return
	}
	if len(root.Content) > 0 {
		r.value(s.name, s.kind, root.Content[0])
	}
}

// mapping reads a mapping whose keys are the names of table, with dots or
// nested. Paths begin with base.
func (r *reader) mapping(base string, n *yaml.Node, table []setting) {
	r.group(base, "", n, table, map[string]int{})
}

func (r *reader) group(base, group string, n *yaml.Node, table []setting, seen map[string]int) {
	n = resolve(n)
	r.note(join(base, group), n.Line)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.problem(join(base, group), n, "%sgiven %s, want a mapping", prefixed(join(base, group)), describe(n, true))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.problem(join(base, group), key, "%sa key is %s, want a name", prefixed(join(base, group)), describe(key, true))
			continue
		}
		name := join(group, key.Value)
		if first, twice := seen[name]; twice {
			r.problem(join(base, name), key, "%s is given a second time, first on line %d", join(base, name), first)
			continue
		}
		seen[name] = key.Line
		r.entry(base, name, key, value, table, seen)
	}
}

func (r *reader) entry(base, name string, key, value *yaml.Node, table []setting, seen map[string]int) {
	if i := slices.IndexFunc(table, func(s setting) bool { return s.name == name }); i >= 0 {
		r.value(join(base, name), table[i].kind, value)
		return
	}
	if slices.ContainsFunc(table, func(s setting) bool { return strings.HasPrefix(s.name, name+".") }) {
		r.group(base, name, value, table, seen)
		return
	}
	r.problem(join(base, name), key, "unknown key %s: the nearest known one is %s",
		join(base, name), join(base, Nearest(name, names(table))))
}

// value reads one setting's value.
func (r *reader) value(path string, k kind, n *yaml.Node) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	r.note(path, n.Line)
	if k.node != nil {
		k.node(r, path, n)
		return
	}
	if n.Kind != yaml.ScalarNode || !slices.Contains(k.tags, n.ShortTag()) || k.set(n.Value) != nil {
		r.wrongType(path, k, n)
	}
}

// elements returns those of a list.
func (r *reader) elements(path string, n *yaml.Node, want string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.problem(path, n, "%s: given %s, want %s", path, describe(n, true), want)
		return nil
	}
	return n.Content
}

func (r *reader) wrongType(path string, k kind, n *yaml.Node) {
	r.problem(path, n, "%s: given %s, want %s", path, describe(n, k.secret), k.want)
}

func (r *reader) problem(path string, n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, problem{path, r.at(n.Line), fmt.Sprintf(format, args...)})
}

func (r *reader) note(path string, line int) { r.places[path] = r.at(line) }

func (r *reader) at(line int) place {
	if r.oneLine {
		line = 0
	}
	return place{r.source, line}
}

// tabs notes the first line of a document that is indented by a tab, which the
// YAML parser tells in words that nobody understands.
func (r *reader) tabs(document []byte) (found bool) {
	number := 0
	for line := range bytes.Lines(document) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.ContainsRune(indent, '\t') && len(bytes.TrimSpace(line)) > 0 {
			r.problems = append(r.problems, problem{"", r.at(number), "this line is indented by a tab: YAML wants spaces"})
			return true
		}
	}
	return false
}

// syntax notes an error of the YAML parser. The name of an unknown anchor is
// left out: it may be a secret that begins with a * and lacks its quotes.
func (r *reader) syntax(err error) {
	line, text := 0, err.Error()
	if parts := yamlError.FindStringSubmatch(text); parts != nil {
		line, _ = strconv.Atoi(parts[1])
		text = parts[2]
	}
	if strings.Contains(text, "anchor") {
		text = "a value that begins with * must be put in quotes"
	}
	r.problems = append(r.problems, problem{"", r.at(line), "this is not YAML: " + text})
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

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

// describe says what n is. What it holds is told of scalars alone, and not if
// it is secret.
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
