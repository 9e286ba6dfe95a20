package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// place is where a setting was given: a line of a file, a variable or a flag.
type place struct {
	source string // "tidegate.yaml", "TIDEGATE_LISTEN", "--listen"
	line   int    // from 1; 0 if the source has no lines
}

func (p place) String() string {
	if p.line == 0 {
		return p.source
	}
	return fmt.Sprintf("%s:%d", p.source, p.line)
}

// problem is an error or a warning about the configuration.
type problem struct {
	path  string // path of the setting; may be empty
	place place
	text  string
}

func (p problem) String() string {
	if p.place.source == "" {
		return p.text
	}
	return p.place.String() + ": " + p.text
}

// Problems is an error with one line per problem, in the order of the file.
type Problems []problem

func (all Problems) Error() string { return strings.Join(all.lines(), "\n") }

func (all Problems) lines() []string {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.place.source, b.place.source), cmp.Compare(a.place.line, b.place.line))
	})
	lines := make([]string, len(sorted))
	for i, one := range sorted {
		lines[i] = one.String()
	}
	return lines
}

// err returns all as an error, or nil if there are none.
func (all Problems) err() error {
	if len(all) == 0 {
		return nil
	}
	return all
}
