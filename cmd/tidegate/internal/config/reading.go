package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// reading is a configuration that is read from one source after another, with the places and
// all problems of its settings: it goes on after a problem.
type reading struct {
	config   Config
	places   map[string]place // where settings were given, by path: "channels[2].history.ttl"
	problems Problems
	warnings Problems

	source  string // that is being read
	oneLine bool   // it is a variable or a flag, which has no line numbers
}

// at returns where a setting was given, or the nearest part of its path that was given.
func (c *reading) at(path string) place {
	for ; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if place, ok := c.places[path]; ok {
			return place
		}
	}
	return place{}
}

// problem records a problem with the meaning of a setting, unless the setting could not be parsed.
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

// within reports whether path is the path of a setting or of a part of it.
func within(path, setting string) bool {
	rest, ok := strings.CutPrefix(path, setting)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// element returns the path of an element of a list.
func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
