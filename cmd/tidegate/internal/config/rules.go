package config

import "tidegate/gateway/rules"

// ParseRules returns the rules of a configuration. Other settings must only be well-formed.
// The error is a Problems.
func ParseRules(document []byte) (rules.List, error) {
	c := &reading{config: Default(), places: map[string]place{}}
	table := c.config.settings()
	c.from("line", func(r *reader) { r.file(document, table) })
	c.validateRules()
	return c.config.Rules, c.problems.err()
}
