package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// reading is a configuration with where its parts came from and what is wrong
// with it.
type reading struct {
	config   Config
	places   map[string]place
	problems Problems
	warnings Problems
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

// element returns the path of one of a list.
func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
