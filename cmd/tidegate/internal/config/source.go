package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Source is where a configuration comes from: a file, the environment and flags. Each overrides
// the ones before it. Its methods read all of them again, and must not be called concurrently.
type Source struct {
	file    *flagValue
	environ []string // in the format of os.Environ
	flags   map[string]*flagValue
}

// flagValue keeps the value of a flag until the file and the environment have been read.
type flagValue struct {
	text  string // at first the default, for the help text
	typ   string
	given bool
}

func (f *flagValue) Set(text string) error {
	f.text, f.given = text, true
	return nil
}
func (f *flagValue) String() string { return f.text }
func (f *flagValue) Type() string   { return f.typ }

// NewSource returns a Source that uses flags. It adds --config and a flag for each named
// setting. environ has the format of os.Environ.
func NewSource(flags *pflag.FlagSet, environ []string, names ...string) *Source {
	s := &Source{file: &flagValue{}, environ: environ, flags: map[string]*flagValue{}}
	flags.Var(s.file, "config", "YAML `file` to read the configuration from (or "+EnvPrefix+"CONFIG)")
	defaults := Default()
	for _, one := range defaults.settings() {
		if !slices.Contains(names, one.name) {
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

// File returns a Source of one file and an environment, without flags.
func File(path string, environ []string) *Source {
	return &Source{file: &flagValue{text: path, given: true}, environ: environ}
}

// Read returns the configuration if it is well-formed, without checking whether it makes
// sense. Of the files that it names, Read reads only those of the given secrets:
// "redis.url", "auth.jwt.secret" or "webhooks.secret".
func (s *Source) Read(secrets ...string) (*Config, error) {
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	c.readSecrets(secrets...)
	return &c.config, c.problems.err()
}

// InternalListen returns the setting of that name. It ignores problems of other settings: a
// gateway that runs keeps its configuration while its file has mistakes. A file that is not
// YAML is an error.
func (s *Source) InternalListen() (string, error) {
	c, err := s.read()
	if err != nil {
		return "", err
	}
	ofOthers := func(p problem) bool { return p.path != "" && p.path != "internal_listen" }
	return c.config.InternalListen, slices.DeleteFunc(c.problems, ofOthers).err()
}

// Load returns the configuration if a gateway can run with it, with warnings of one line
// each. It reads all files that the configuration names. Otherwise the error is a Problems
// with all problems.
func (s *Source) Load() (c *Config, warnings []string, err error) {
	r, err := s.read()
	if err != nil {
		return nil, nil, err
	}
	r.validate()
	return &r.config, r.warnings.lines(), r.problems.err()
}

// path returns the file to read, or "" if none was named.
func (s *Source) path() string {
	if s.file.given {
		return s.file.text
	}
	path, _ := s.lookup(EnvPrefix + "CONFIG")
	return path
}

// read returns the configuration with the problems of its form; validate finds those of its
// meaning. Even with problems, the config has everything that could be parsed.
func (s *Source) read() (*reading, error) {
	c := &reading{config: Default(), places: map[string]place{}}
	table := c.config.settings()
	if path := s.path(); path != "" {
		document, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		c.file(path, document, table)
	}
	for _, one := range table {
		if text, ok := s.lookup(one.env()); ok {
			c.line(one.env(), text, one)
		}
	}
	for _, one := range table {
		if flag := s.flags[one.name]; flag != nil && flag.given {
			c.line("--"+one.flag(), flag.text, one)
		}
	}
	c.deriveLimits()
	misspelt, ignored := unknown(s.environ, table)
	c.problems, c.warnings = append(c.problems, misspelt...), append(c.warnings, ignored...)
	return c, nil
}

// lookup returns an environment variable. An empty one counts as not set, because compose
// files pass unset variables that way.
func (s *Source) lookup(name string) (string, bool) {
	for _, pair := range slices.Backward(s.environ) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value, value != ""
		}
	}
	return "", false
}

// anagrams reports whether two names have the same letters, as after a typing error.
func anagrams(a, b string) bool {
	return slices.Equal(slices.Sorted(slices.Values([]byte(a))), slices.Sorted(slices.Values([]byte(b))))
}

// unknown finds variables that look like misspelt settings, and others that belong to no
// setting and are not set by Kubernetes.
func unknown(environ []string, table []setting) (misspelt, ignored Problems) {
	known := []string{EnvPrefix + "CONFIG", EnvPrefix + "TOKEN", EnvPrefix + "URL", EnvPrefix + "API_KEY"}
	for _, one := range table {
		known = append(known, one.env())
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		suffix, ours := strings.CutPrefix(name, EnvPrefix)
		if !ours || slices.Contains(known, name) {
			continue
		}
		near := Nearest(name, known)
		switch {
		case distance(name, near) <= len(suffix)/4 || anagrams(name, near):
			misspelt = append(misspelt, problem{"", place{source: name}, "unknown variable: the nearest known one is " + near})
		case !ofService.MatchString(suffix):
			ignored = append(ignored, problem{"", place{source: name}, "unknown variable, which is ignored: the nearest known one is " + near})
		}
	}
	return misspelt, ignored
}

// ofService matches the variables that Kubernetes gives each pod if a Service is called
// tidegate, or begins with tidegate-.
var ofService = regexp.MustCompile(`(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)
