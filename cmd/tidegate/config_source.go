package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// source is where a configuration comes from: a file, the environment, flags.
// Each overrides the one before it.
type source struct {
	file    *flagValue
	environ []string // as os.Environ gives it
	flags   map[string]*flagValue
}

// flagValue keeps what a flag was given until the file and the environment have
// been read.
type flagValue struct {
	text  string // the default at first, for the help
	typ   string
	given bool
}

func (f *flagValue) Set(text string) error {
	f.text, f.given = text, true
	return nil
}
func (f *flagValue) String() string { return f.text }
func (f *flagValue) Type() string   { return f.typ }

// newSource adds --config and a flag for each of the named settings to flags;
// for all of them if none is named.
func newSource(flags *pflag.FlagSet, environ []string, names ...string) *source {
	s := &source{file: &flagValue{}, environ: environ, flags: map[string]*flagValue{}}
	flags.Var(s.file, "config", "YAML `file` to read the configuration from (or "+envPrefix+"CONFIG)")
	defaults := defaultConfig()
	for _, one := range defaults.settings() {
		if len(names) > 0 && !slices.Contains(names, one.name) {
			continue
		}
		value := &flagValue{text: one.kind.now, typ: one.kind.name}
		flag := flags.VarPF(value, one.flag(), "", one.usage)
		if value.typ == "bool" {
			flag.NoOptDefVal = "true"
		}
		s.flags[one.name] = value
	}
	return s
}

// path returns the file to read, or "" if none was named.
func (s *source) path() string {
	if s.file.given {
		return s.file.text
	}
	path, _ := s.lookup(envPrefix + "CONFIG")
	return path
}

// read returns the configuration, with what is wrong with its form; validate
// finds what is wrong with its meaning. What could be read is in the config
// even if there are problems.
func (s *source) read() (*reading, error) {
	c := &reading{config: defaultConfig(), places: map[string]place{}}
	table := c.config.settings()
	if path := s.path(); path != "" {
		document, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		c.from(path, func(r *reader) { r.file(document, table) })
	}
	for _, one := range table {
		if text, ok := s.lookup(one.env()); ok {
			c.from(one.env(), func(r *reader) { r.line(text, one) })
		}
	}
	for _, one := range table {
		if flag := s.flags[one.name]; flag != nil && flag.given {
			c.from("--"+one.flag(), func(r *reader) { r.line(flag.text, one) })
		}
	}
	c.warnings = append(c.warnings, s.misspelt(table)...)
	return c, nil
}

// lookup returns an environment variable. An empty one counts as not given:
// that is how compose files pass on what is not set.
func (s *source) lookup(name string) (string, bool) {
	for _, pair := range slices.Backward(s.environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value, value != ""
		}
	}
	return "", false
}

// misspelt finds variables that are almost the name of a setting. They are no
// errors, as others name variables, too: Kubernetes gives every pod a
// TIDEGATE_PORT and more if a service is called tidegate.
func (s *source) misspelt(table []setting) problems {
	var found problems
	for _, pair := range s.environ {
		name, _, _ := strings.Cut(pair, "=")
		suffix, ours := strings.CutPrefix(name, envPrefix)
		if !ours || name == envPrefix+"CONFIG" || slices.ContainsFunc(table, func(one setting) bool { return one.env() == name }) {
			continue
		}
		near := nearest(strings.ToLower(suffix), table)
		if distance(strings.ToLower(suffix), near) <= len(suffix)/4 {
			found = append(found, problem{"", place{source: name}, "unknown variable, it changes nothing: did you mean " + setting{name: near}.env() + "?"})
		}
	}
	return found
}

// reading is a configuration with where its parts came from and what is wrong
// with it.
type reading struct {
	config   config
	places   map[string]place
	problems problems
	warnings problems
}

func (c *reading) from(source string, read func(*reader)) {
	r := &reader{source: source, places: c.places}
	read(r)
	c.problems = append(c.problems, r.problems...)
}

// at returns where the setting was given: the place of the nearest part of its
// path that was.
func (c *reading) at(path string) place {
	for ; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if place, ok := c.places[path]; ok {
			return place
		}
	}
	return place{}
}

// problem notes what is wrong with a setting's meaning. It keeps silent about
// one whose form was wrong: it has not been read.
func (c *reading) problem(path, format string, args ...any) {
	if slices.ContainsFunc(c.problems, func(earlier problem) bool { return within(earlier.path, path) }) {
		return
	}
	c.problems = append(c.problems, c.remark(path, format, args...))
}

func (c *reading) warn(path, format string, args ...any) {
	c.warnings = append(c.warnings, c.remark(path, format, args...))
}

func (c *reading) remark(path, format string, args ...any) problem {
	return problem{path, c.at(path), path + ": " + fmt.Sprintf(format, args...)}
}

// within reports whether path is that of a setting or of a part of it.
func within(path, setting string) bool {
	rest, ok := strings.CutPrefix(path, setting)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
